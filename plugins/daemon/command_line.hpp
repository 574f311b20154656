// SPDX-License-Identifier: Apache-2.0
// The command line of uidnfsd as values. Pure: it prints nothing and looks at nothing but its
// arguments.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace uidnfs::plugins {

/// Exit status of every command.
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

struct Serve {
    std::string config;
};

struct Check {
    std::string config;
};

struct Resolve {
    enum class Format : std::uint8_t { human, json };
    std::string user;
    std::string config;
    Format format = Format::human;
};

struct CheckBindings {
    enum class Format : std::uint8_t { human, json };
    std::string file;  ///< "-": standard input
    std::string config;
    Format format = Format::human;
};

struct Support {
    std::string config;
};

/// --help and --version: what was asked for, for standard output.
struct ShowText {
    std::string text;
};

/// For standard error, with kExitUsage.
struct UsageError {
    std::string text;
};

using Invocation =
    std::variant<Serve, Check, Resolve, CheckBindings, Support, ShowText, UsageError>;

/// `arguments` without the program's name.
Invocation parse_command_line(const std::vector<std::string>& arguments);

}  // namespace uidnfs::plugins
