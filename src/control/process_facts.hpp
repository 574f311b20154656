// SPDX-License-Identifier: Apache-2.0
// What proc(5) says of another process of ours. Any thread.
#pragma once

#include "core/error.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace uidnfs::control {

/// The arguments of a process, from /proc/PID/cmdline. A keeper of root says there what it mounted
/// where, and nobody but root could change it. Empty: there is no such process.
std::vector<std::string> arguments_of(std::uint32_t pid);

/// Whether a process says that it is "uidnfs ROLE SOURCE MOUNTPOINT".
bool has_role(std::uint32_t pid, const std::string& role, const std::string& mountpoint);

/// Whether any process of `uid` that is called "uidnfs-ROLE" says so; others are not looked at, for
/// they can say and hold up what they like. Without /proc: there is one.
bool anybody_has_role(const std::string& role, std::uint32_t uid, const std::string& mountpoint);

/// Field 22 of /proc/PID/stat (proc(5)). ESRCH: there is no such process.
core::Result<std::uint64_t> start_time_of(std::uint32_t pid);

}  // namespace uidnfs::control
