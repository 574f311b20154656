// SPDX-License-Identifier: Apache-2.0
// GrowingPauses: between tries, or looks at what tells nobody: each is twice as long as the one
// before, up to a longest. Pure.
#pragma once

#include "core/clock.hpp"

#include <algorithm>
#include <utility>

namespace uidnfs::core {

class GrowingPauses {
public:
    constexpr GrowingPauses(SteadyDuration first, SteadyDuration longest) noexcept
        : first_(first), longest_(longest), next_(first) {}

    constexpr SteadyDuration next() noexcept {
        return std::exchange(next_, std::min(2 * next_, longest_));
    }
    /// It went well: the next one is the first.
    constexpr void begin_anew() noexcept { next_ = first_; }

private:
    SteadyDuration first_;
    SteadyDuration longest_;
    SteadyDuration next_;
};

}  // namespace uidnfs::core
