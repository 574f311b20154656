// SPDX-License-Identifier: Apache-2.0
// Restarts: when the next worker of a mount is started after one has died. At once; but a mount
// whose workers die again and again does not take the machine with it. Pure; takes the time as an
// argument.
#pragma once

#include "core/allowance.hpp"
#include "core/clock.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>

namespace uidnfs::app {

class Restarts {
public:
    /// So many at once, and one more for each kOneMore that passes.
    static constexpr int kAtOnce = 30;
    static constexpr std::chrono::milliseconds kOneMore{500};
    /// Workers that never get ready, one after another.
    static constexpr int kMostFailures = 8;
    static constexpr std::chrono::milliseconds kWant{500};

    /// The worker is ready.
    void ready() noexcept {
        was_ready_ = true;
        failures_ = 0;
    }
    /// It died. When the next one is started; nothing: none will do better.
    std::optional<core::SteadyTime> died(core::SteadyTime now) noexcept {
        failures_ = was_ready_ ? 0 : failures_ + 1;
        was_ready_ = false;
        if (failures_ >= kMostFailures) return std::nullopt;
        next_ = now + kPauses[static_cast<std::size_t>(failures_)];
        next_ = std::max(next_, allowance_.take(now));
        return next_;
    }
    /// It could not be started for want of something that comes back, a descriptor or a process:
    /// that says nothing about the workers.
    void wanted(core::SteadyTime now) noexcept { next_ = now + kWant; }
    core::SteadyTime next() const noexcept { return next_; }
    int failures() const noexcept { return failures_; }

private:
    static constexpr std::array<std::chrono::milliseconds, kMostFailures> kPauses{
        std::chrono::milliseconds(0),    std::chrono::milliseconds(0),
        std::chrono::milliseconds(100),  std::chrono::milliseconds(500),
        std::chrono::milliseconds(1000), std::chrono::milliseconds(3000),
        std::chrono::milliseconds(5000), std::chrono::milliseconds(5000)};

    bool was_ready_ = true;  ///< the first one was, or there would be no mount
    int failures_ = 0;
    core::SteadyTime next_ = core::SteadyTime::max();
    core::Allowance allowance_{kAtOnce, kOneMore};
};

}  // namespace uidnfs::app
