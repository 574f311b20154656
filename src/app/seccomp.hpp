// SPDX-License-Identifier: Apache-2.0
// What a worker may still ask of the kernel (seccomp(2)): reading, writing, sockets, memory,
// threads, time; nothing that starts a program, mounts, changes rights or looks into others.
#pragma once

#include "core/error.hpp"

namespace uidnfs::app {

/// From now on, for this thread and those it starts: what is refused fails with EPERM, what the
/// kernel knows and this list does not with ENOSYS, so that a newer C library falls back.
/// REQUIRES: no_new_privs. Errors: errno of seccomp(2); ENOSYS: this kernel has none.
core::Result<void> restrict_system_calls();

}  // namespace uidnfs::app
