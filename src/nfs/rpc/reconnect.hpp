// SPDX-License-Identifier: Apache-2.0
// Backoff: how long to wait before the next attempt to connect. Pure: clock and chance are
// arguments.
#pragma once

#include "core/clock.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace uidnfs::nfs::rpc {

class Backoff {
public:
    static constexpr std::chrono::milliseconds kFirst{100};
    static constexpr std::chrono::milliseconds kLongest{15000};

    /// From `now` to the next attempt. At once, but never sooner than 100 ms after the attempt
    /// before; without success in between that distance doubles to 15 s. It is a quarter longer or
    /// shorter by `chance` (any number), so that a thousand mounts do not come back together.
    core::SteadyDuration next(core::SteadyTime now, std::uint32_t chance) noexcept {
        const auto attempt = attempts_++;
        auto wait = core::SteadyDuration::zero();
        if (last_) wait = std::max(wait, *last_ + distance(attempt, chance) - now);
        last_ = now + wait;
        return wait;
    }
    /// The server has answered a call: not merely accepted a connection.
    void succeeded() noexcept { attempts_ = 0; }
    std::uint32_t attempts() const noexcept { return attempts_; }

private:
    static core::SteadyDuration distance(std::uint32_t attempt, std::uint32_t chance) noexcept {
        const auto doublings = std::clamp(attempt, 1u, 9u) - 1;
        const auto base = std::min(kFirst * (1u << doublings), kLongest);
        const auto spread = base.count() / 2;
        return base - std::chrono::milliseconds(spread / 2) +
               std::chrono::milliseconds(chance % static_cast<std::uint32_t>(spread + 1));
    }

    std::uint32_t attempts_ = 0;
    std::optional<core::SteadyTime> last_;
};

}  // namespace uidnfs::nfs::rpc
