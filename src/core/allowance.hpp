// SPDX-License-Identifier: Apache-2.0
// Allowance: so many at once, and one more for each while that passes. Pure; takes the time as an
// argument.
#pragma once

#include "core/clock.hpp"

#include <algorithm>
#include <chrono>

namespace uidnfs::core {

class Allowance {
public:
    constexpr Allowance(int at_once, std::chrono::milliseconds one_more) noexcept
        : at_once_(at_once), one_more_(one_more) {}

    /// One is wanted now: when it may be had, not before `now`.
    SteadyTime take(SteadyTime now) noexcept {
        // When the last at_once_ of them have been paid for.
        paid_ = std::max(paid_, now - at_once_ * one_more_) + one_more_;
        return std::max(now, paid_);
    }

private:
    int at_once_;
    std::chrono::milliseconds one_more_;
    SteadyTime paid_ = SteadyTime::min() + std::chrono::hours(24);
};

}  // namespace uidnfs::core
