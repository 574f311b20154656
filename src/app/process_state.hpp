// SPDX-License-Identifier: Apache-2.0
// ProcessState: what /proc says of a process that does not answer; HangWatch: whether that means
// that it hangs. A process that is runnable and gets no processor, on a machine under load, does
// not. Pure but for read_process_state(). One thread.
#pragma once

#include "core/clock.hpp"

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace uidnfs::app {

struct ProcessState {
    char state = '?';                      ///< as in proc(5): R, S, D, T, Z, ...
    std::chrono::milliseconds used{0};     ///< of processors, by all its threads
};

/// Of the content of /proc/PID/stat; nothing for what is not one.
std::optional<ProcessState> parse_process_state(std::string_view stat, long ticks_per_second);
/// Nothing when it is gone, or hidden.
std::optional<ProcessState> read_process_state(pid_t pid);

class HangWatch {
public:
    /// Between an answer and the next question.
    static constexpr std::chrono::seconds kEvery{5};
    /// Between two looks at one that has not answered.
    static constexpr std::chrono::seconds kLook{1};
    /// Stopped, or waiting for something that is not its work; or busy with something that is not.
    static constexpr std::chrono::seconds kStuck{10};
    /// Waiting uninterruptibly: for its own memory, on a machine without enough of it.
    static constexpr std::chrono::seconds kStuckInKernel{60};

    void begin(core::SteadyTime now) noexcept { *this = {}, next_ = now + kEvery; }
    void end() noexcept { next_ = core::SteadyTime::max(); }

    /// When look() is due.
    core::SteadyTime next() const noexcept { return next_; }
    bool is_asking() const noexcept { return asked_.has_value(); }
    void asked(core::SteadyTime now, std::optional<ProcessState> state) noexcept;
    void answered(core::SteadyTime now) noexcept { begin(now); }

    enum class Verdict { fine, dead, hangs };
    /// It has not answered yet.
    Verdict look(core::SteadyTime now, std::optional<ProcessState> state);
    /// After `hangs`: "it did not answer for 12 s (state T)".
    const std::string& why() const noexcept { return why_; }

private:
    core::SteadyTime next_ = core::SteadyTime::max();
    std::optional<core::SteadyTime> asked_;
    std::chrono::milliseconds used_before_{0};
    int stuck_ = 0;            ///< looks in a row
    int stuck_in_kernel_ = 0;
    std::string why_;
};

}  // namespace uidnfs::app
