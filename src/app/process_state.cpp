// SPDX-License-Identifier: Apache-2.0
#include "app/process_state.hpp"

#include "app/names.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

}  // namespace

std::optional<ProcessState> parse_process_state(std::string_view stat, long ticks_per_second) {
    // The name may hold anything, a parenthesis too.
    const auto name_end = stat.rfind(") ");
    if (name_end == std::string_view::npos || ticks_per_second <= 0) return std::nullopt;
    auto rest = stat.substr(name_end + 2);
    constexpr std::size_t kUserTime = 11;  // fields after the name: state is 0
    constexpr std::size_t kSystemTime = 12;
    ProcessState out;
    long ticks = 0;
    for (std::size_t field = 0; field <= kSystemTime; ++field) {
        const auto end = rest.find(' ');
        const auto word = rest.substr(0, end);
        if (word.empty() || end == std::string_view::npos) return std::nullopt;
        rest.remove_prefix(end + 1);
        if (field == 0) out.state = word.front();
        if (field != kUserTime && field != kSystemTime) continue;
        long value = 0;
        const auto parsed = std::from_chars(word.data(), word.data() + word.size(), value);
        if (parsed.ec != std::errc() || value < 0) return std::nullopt;
        ticks += value;
    }
    out.used = milliseconds(ticks * 1000 / ticks_per_second);
    return out;
}

std::optional<ProcessState> read_process_state(pid_t pid) {
    const auto stat = read_whole(fmt::format("/proc/{}/stat", pid));
    if (!stat) return std::nullopt;
    return parse_process_state(*stat, ::sysconf(_SC_CLK_TCK));
}

void HangWatch::asked(core::SteadyTime now, std::optional<ProcessState> state) noexcept {
    asked_ = now;
    used_before_ = state ? state->used : milliseconds(0);
    stuck_ = stuck_in_kernel_ = 0;
    next_ = now + kLook;
}

HangWatch::Verdict HangWatch::look(core::SteadyTime now, std::optional<ProcessState> state) {
    next_ = now + kLook;
    const auto silent = std::chrono::duration_cast<seconds>(now - *asked_);
    const char is = state ? state->state : '?';
    if (is == 'Z' || is == 'X') {
        // A thread of it may be stuck in the kernel: then nothing else tells.
        why_ = "it has ended, but for a thread in the kernel";
        return Verdict::dead;
    }
    const bool is_waiting = is == 'S' || is == 'T' || is == '?';
    stuck_ = is_waiting ? stuck_ + 1 : 0;
    stuck_in_kernel_ = is == 'D' ? stuck_in_kernel_ + 1 : 0;
    const bool is_busy = state && is == 'R' && state->used - used_before_ >= kStuck;
    if (stuck_ < kStuck / kLook && stuck_in_kernel_ < kStuckInKernel / kLook && !is_busy) {
        return Verdict::fine;
    }
    why_ = fmt::format("it did not answer for {} s (state {})", silent.count(), is);
    return Verdict::hangs;
}

}  // namespace uidnfs::app
