// SPDX-License-Identifier: Apache-2.0
// The program as mount(8)'s helper: called as mount.uidnfs or umount.uidnfs (also with "fuse."
// before the type) it takes the flags and gives the exit codes of that manual page. Pure but for
// run_helper().
#pragma once

#include "app/command_line.hpp"
#include "app/console.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace uidnfs::app {

enum class Helper : std::uint8_t { mount, umount };

/// From argv[0], with or without directories; nothing for the program under its own name.
std::optional<Helper> helper_role(std::string_view program);

struct HelperMount {
    MountArguments arguments;
    /// -f: everything is checked, nothing is mounted.
    enum class Doing : std::uint8_t { really, fake } doing = Doing::really;
};

using HelperCommand = std::variant<HelperMount, UmountArguments, UsageError>;

struct HelperCall {
    HelperCommand command;
    /// -N: the mount namespace to work in, as a path (/proc/PID/ns/mnt); empty: this one.
    std::string mount_namespace;
};

/// SPEC DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE], or DIR [-flnrv] [-N NAMESPACE] [-t
/// TYPE].
HelperCall parse_helper_line(Helper helper, const std::vector<std::string>& arguments);

/// Exit codes of mount(8): 0, 1 wrong invocation or no permission, 2 system error, 4 a defect of
/// ours, 8 interrupted, 32 failed. There is no mtab to lock (16).
int run_helper(Helper helper, const std::vector<std::string>& arguments, Console& console);

}  // namespace uidnfs::app
