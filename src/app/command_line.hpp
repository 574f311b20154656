// SPDX-License-Identifier: Apache-2.0
// The command line as values. Pure: it prints nothing and looks at nothing but its arguments.
// Options of a mount are left as they were written; the option table (config) reads them.
#pragma once

#include "app/spec.hpp"
#include "config/mount_options.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace uidnfs::app {

/// Exit status of every command.
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNobody = 3;  ///< of adopt: no worker serves the mount any more

struct MountArguments {
    std::string source;
    std::string mountpoint;
    std::vector<config::RawOption> options;  ///< of -o and --OPTION, in the order of the line
    Stay stay = Stay::background;
    std::optional<int> ready_fd;
    std::uint64_t worker_memory = 0;       ///< bytes; 0: no limit
    int end_with = 0;                      ///< pid of the parent that it ends with; 0: with none
    std::string worker_group;              ///< control group that the worker joins; empty: none
    std::uint64_t write_behind_limit = 0;  ///< bytes; 0: none
    std::string worker_user;         ///< empty: "uidnfs", or "nobody" where that does not exist
    std::string recovery_directory;  ///< empty: default_recovery_directory()
    std::string identity_source;     ///< "declared", "ldap"; empty: what the options say
};

struct UmountArguments {
    enum class How : std::uint8_t { orderly, lazy, force };
    std::string mountpoint;
    How how = How::orderly;
    std::optional<std::uint32_t> flush_deadline_seconds;
};

struct StatusArguments {
    enum class Format : std::uint8_t { human, json };
    std::optional<std::string> mountpoint;
    Format format = Format::human;
};

struct CheckArguments {
    enum class Write : std::uint8_t { no, yes };
    enum class Format : std::uint8_t { human, json };
    std::string source;
    std::vector<config::RawOption> options;
    Write write = Write::no;
    Format format = Format::human;
};

struct RecoverArguments {
    enum class Action : std::uint8_t { write, list };
    enum class Conflicts : std::uint8_t { refused, overwritten };
    std::string file;
    Action action = Action::write;
    std::string to;  ///< a source or a directory; empty: where the mount had it from
    Conflicts conflicts = Conflicts::refused;
};

struct UpgradeArguments {
    std::optional<std::string> mountpoint;  ///< none: all of this user
    std::optional<std::uint32_t> flush_deadline_seconds;
};

struct AdoptArguments {
    std::string mountpoint;
    bool has_held = false;  ///< of the daemon: its channel has what a killed keeper had handed out
};

/// --help and --version: what was asked for, for standard output.
struct ShowText {
    std::string text;
};

/// For standard error, with kExitUsage.
struct UsageError {
    std::string text;
};

/// Roles that only this program itself starts (spawn.hpp).
struct KeeperRole {};
struct WorkerRole {};
struct SalvageRole {};

using Command = std::variant<
    MountArguments,
    UmountArguments,
    StatusArguments,
    CheckArguments,
    RecoverArguments,
    UpgradeArguments,
    AdoptArguments,
    ShowText,
    UsageError,
    KeeperRole,
    WorkerRole,
    SalvageRole>;

/// `arguments` without the program's name.
Command parse_command_line(const std::vector<std::string>& arguments);

}  // namespace uidnfs::app
