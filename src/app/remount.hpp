// SPDX-License-Identifier: Apache-2.0
// What `mount -o remount` may change on a mount that lives, and the names of what it may not. Pure.
#pragma once

#include "app/spec.hpp"
#include "config/mount_options.hpp"
#include "core/error.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace uidnfs::app {

/// Without "remount" itself, and without what fuse(4) writes into mountinfo, which mount(8) hands
/// back for a mount that is not in fstab(5).
std::vector<config::RawOption> remount_options(const std::vector<config::RawOption>& options);

/// Whether these options ask for it.
bool asks_remount(const std::vector<config::RawOption>& options);

struct Remount {
    config::MountRequest request;            ///< the mount as it will be
    std::vector<config::RawOption> options;  ///< all that were ever written, the later ones count
    std::vector<std::string> changed;        ///< names of options, as in the option table
};

/// `asked` over what the mount has. EBUSY with the names of what cannot change while it lives;
/// EINVAL for options that nobody knows.
core::Outcome<Remount> plan_remount(
    const MountSpec& spec,
    const config::MountRequest& live,
    std::string_view source,
    const std::vector<config::RawOption>& asked
);

}  // namespace uidnfs::app
