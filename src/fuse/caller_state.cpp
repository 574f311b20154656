// SPDX-License-Identifier: Apache-2.0
#include "fuse/caller_state.hpp"

#include <charconv>
#include <csignal>

namespace uidnfs::fuse {
namespace {

constexpr std::uint64_t kExiting = 0x4;  // PF_EXITING

// Fields of /proc/TID/stat, counted from the one after "(comm)", which is number 3 in proc(5).
constexpr int kFlagsField = 9 - 3;
constexpr int kPendingField = 31 - 3;

constexpr std::uint64_t bit(int signal) noexcept { return std::uint64_t{1} << (signal - 1); }

/// Those whose default is to be ignored or to stop (signal(7)).
constexpr std::uint64_t kHarmless = bit(SIGCHLD) | bit(SIGCONT) | bit(SIGURG) | bit(SIGWINCH) |
                                    bit(SIGSTOP) | bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU);

std::optional<std::uint64_t> number(std::string_view text, int base) noexcept {
    std::uint64_t value = 0;
    const auto* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value, base);
    if (error != std::errc{} || rest != end) return std::nullopt;
    return value;
}

/// The field after `position` spaces.
std::string_view field(std::string_view text, int position) noexcept {
    for (; position > 0; --position) {
        const auto space = text.find(' ');
        if (space == text.npos) return {};
        text.remove_prefix(space + 1);
    }
    return text.substr(0, text.find_first_of(" \n"));
}

std::optional<std::uint64_t> signal_set(std::string_view text, std::string_view key) noexcept {
    const auto start = text.find(key);
    if (start == text.npos) return std::nullopt;
    text.remove_prefix(start + key.size());
    return number(text.substr(0, text.find('\n')), 16);
}

}  // namespace

std::optional<TaskStat> parse_stat(std::string_view text) noexcept {
    // The name in parentheses may hold anything, also ") R 1 1".
    const auto name_end = text.rfind(") ");
    if (name_end == text.npos) return std::nullopt;
    text.remove_prefix(name_end + 2);
    const auto flags = number(field(text, kFlagsField), 10);
    const auto pending = number(field(text, kPendingField), 10);
    if (!flags || !pending) return std::nullopt;
    return TaskStat{*flags, *pending};
}

std::optional<SignalSets> parse_status(std::string_view text) noexcept {
    const auto thread = signal_set(text, "\nSigPnd:\t");
    const auto process = signal_set(text, "\nShdPnd:\t");
    const auto blocked = signal_set(text, "\nSigBlk:\t");
    const auto ignored = signal_set(text, "\nSigIgn:\t");
    const auto caught = signal_set(text, "\nSigCgt:\t");
    if (!thread || !process || !blocked || !ignored || !caught) return std::nullopt;
    return SignalSets{*thread | *process, *blocked, *ignored, *caught};
}

CallerState judge(const TaskStat& stat) noexcept {
    if (stat.pending & bit(SIGKILL)) return CallerState::killed;
    return stat.flags & kExiting ? CallerState::exiting : CallerState::alive;
}

CallerState judge(const TaskStat& stat, const SignalSets& signals) noexcept {
    const auto fatal = signals.pending & ~signals.blocked & ~signals.ignored & ~signals.caught;
    if ((fatal & ~kHarmless) || (signals.pending & bit(SIGKILL))) return CallerState::killed;
    return judge(stat);
}

}  // namespace uidnfs::fuse
