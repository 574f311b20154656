// SPDX-License-Identifier: Apache-2.0
// What keeper and worker do first, each for itself: a name for ps(1), a place of their own, a log,
// and privileges given up.
#pragma once

#include "app/spec.hpp"
#include "config/mount_options.hpp"
#include "core/error.hpp"

#include <cstdint>
#include <optional>

namespace uidnfs::app {

/// Exit status of a keeper or worker that was started by hand, or that could not start.
inline constexpr int kRoleMisused = 2;
inline constexpr int kExitRoleFailed = 1;

/// That of whoever mounts (ulimit -f): the memory of a mount is a file to the kernel. As far as one
/// may; beyond what is left calls fail with EFBIG (once control::ignore_signals() was called).
void lift_limit_of_files();

/// Name, working directory "/", umask, signals ignored, the limit of file sizes lifted, malloc(3)
/// for a small process. EBADF when there is no channel: nobody but this program starts it.
core::Result<void> begin_role(const char* role);

/// As the mount's options say: its file, else standard error or the journal.
core::Outcome<void> configure_log(const MountSpec& spec, const config::MountRequest& request);

/// From the system's users; nothing when there is none of that name.
std::optional<ServiceUser> find_user(const char* name);

enum class ReservedPort : std::uint8_t { wanted, unneeded };

/// Becomes the service user for good, with no capability but CAP_NET_BIND_SERVICE, and only where a
/// reserved source port is wanted; no_new_privs, not dumpable, no core files. REQUIRES: one thread.
/// Errors: errno of the call that was refused.
core::Result<void> give_up_privileges(const MountSpec& spec, ReservedPort port);

}  // namespace uidnfs::app
