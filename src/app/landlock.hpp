// SPDX-License-Identifier: Apache-2.0
// Which files a worker may still open (landlock(7)). It is the service user, whose files hold
// passwords and the state of all volumes; seccomp(2) sees no names.
#pragma once

#include "core/error.hpp"

namespace uidnfs::app {

/// From now on, for this thread and those it starts: opens what resolves names and what shows
/// processes (/proc) for reading, the FUSE device, and nothing else; makes, removes and renames
/// nothing. What is open stays. Returns the version of Landlock that the kernel has.
/// REQUIRES: no_new_privs; before restrict_system_calls(). Errors: ENOSYS, EOPNOTSUPP: this kernel
/// has none, or it is switched off; else errno of the call that was refused.
core::Result<int> restrict_files();

}  // namespace uidnfs::app
