// SPDX-License-Identifier: Apache-2.0
// The spec of a live mount as a file beside its control socket: what a keeper must know that comes
// in the place of one that was killed. Only keepers write it, in a directory that is theirs alone;
// whatever a worker says is not in it. It lives as long as the mount.
#pragma once

#include "app/names.hpp"
#include "app/spec.hpp"
#include "core/error.hpp"

#include <string>

namespace uidnfs::app {

/// The spec before or this one is there at any moment; where this one cannot be, none: what the one
/// before says is not so any more, access that was taken away among it. Errors: errno of open(2),
/// write(2), rename(2).
core::Result<void> write_kept_spec(const std::string& path, const MountSpec& spec);

/// EPERM: somebody else could have written it; EPROTO: it is no spec; else errno of open(2),
/// read(2).
core::Result<MountSpec> read_kept_spec(const std::string& path);

/// What the keeper of this mount left. ESRCH: nothing; ESTALE: it is of another path.
core::Outcome<MountSpec> kept_spec_of(const MountEntry& entry);

}  // namespace uidnfs::app
