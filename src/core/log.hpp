// SPDX-License-Identifier: Apache-2.0
// The log: the one global state. Thread-safe. spdlog stays private to this room.
#pragma once

#include "core/error.hpp"

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace uidnfs::core::log {

enum class Level { trace, debug, info, warning, error, off };

enum class Destination {
    standard_error,  ///< with "<N>" priorities when systemd reads it (sd-daemon(3), JOURNAL_STREAM)
    system,          ///< syslog(3), which the journal collects: for processes in the background
    file,
};

struct Options {
    Level level = Level::info;
    Destination destination = Destination::standard_error;
    std::string file = {};    ///< for Destination::file; opened for appending, 0640
    std::string prefix = {};  ///< before each line, e.g. the mount
};

/// Replaces what was set before. Fails when the file cannot be opened; the old log stays then.
Outcome<void> configure(const Options& options);
void set_level(Level level) noexcept;
bool is_enabled(Level level) noexcept;
/// Control characters in `text` (names from a server) are shown as \xNN.
void write(Level level, std::string_view text);

/// `text` with its control characters as \xNN, so that names from elsewhere cannot fake lines.
std::string printable(std::string_view text);

/// "info" etc.; nothing when the name is unknown.
bool parse_level(std::string_view name, Level& level) noexcept;
std::string_view to_string(Level level) noexcept;

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
    if (is_enabled(Level::debug)) {
        write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
    }
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
    if (is_enabled(Level::info)) {
        write(Level::info, fmt::format(format, std::forward<Args>(args)...));
    }
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
    if (is_enabled(Level::warning)) {
        write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
    }
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
    if (is_enabled(Level::error)) {
        write(Level::error, fmt::format(format, std::forward<Args>(args)...));
    }
}

}  // namespace uidnfs::core::log
