// SPDX-License-Identifier: Apache-2.0
// Whether the process behind a request is about to die, from the texts of proc(5). Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace uidnfs::fuse {

enum class CallerState : std::uint8_t {
    alive,    ///< also with signals that it handles, ignores or blocks: NFS waits through those
    exiting,  ///< in exit(): signals no longer reach it, so nothing shows whether it was killed
    killed,   ///< a fatal signal is pending
};

/// From /proc/TID/stat.
struct TaskStat {
    std::uint64_t flags = 0;    ///< PF_*, include/linux/sched.h
    std::uint64_t pending = 0;  ///< signals of this thread, bit 0 is signal 1
};
/// nullopt when the text is not what proc(5) says.
std::optional<TaskStat> parse_stat(std::string_view text) noexcept;

/// From /proc/TID/status; bit 0 is signal 1.
struct SignalSets {
    std::uint64_t pending = 0;  ///< of the thread and of its process
    std::uint64_t blocked = 0;
    std::uint64_t ignored = 0;
    std::uint64_t caught = 0;
};
/// nullopt when one of the sets is missing.
std::optional<SignalSets> parse_status(std::string_view text) noexcept;

/// A deadly signal that makes no core becomes SIGKILL of every thread at once (complete_signal,
/// kernel/signal.c), so `stat` alone shows all of those.
CallerState judge(const TaskStat& stat) noexcept;
/// Sees signals that make a core (SIGQUIT, SIGABRT, ...) as well.
CallerState judge(const TaskStat& stat, const SignalSets& signals) noexcept;

}  // namespace uidnfs::fuse
