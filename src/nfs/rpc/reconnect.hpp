// SPDX-License-Identifier: Apache-2.0
// Backoff: how long to wait before the next attempt to connect. Pure: chance is an argument.
#pragma once

#include "core/clock.hpp"

#include <chrono>
#include <cstdint>

namespace uidnfs::nfs::rpc {

class Backoff {
public:
    static constexpr std::chrono::milliseconds kFirst{100};
    static constexpr std::chrono::milliseconds kLongest{15000};

    /// At once for the first attempt, then 100 ms doubling to 15 s, each a quarter longer or
    /// shorter by `chance` (any number), so that a thousand mounts do not come back together.
    core::SteadyDuration next(std::uint32_t chance) noexcept {
        const auto attempt = attempts_++;
        if (attempt == 0) return {};
        const auto doublings = attempt - 1 < 8 ? attempt - 1 : 8;
        const auto full = kFirst * (1u << doublings);
        const auto base = full < kLongest ? full : kLongest;
        const auto spread = base.count() / 2;
        return base - std::chrono::milliseconds(spread / 2) +
               std::chrono::milliseconds(chance % static_cast<std::uint32_t>(spread + 1));
    }
    /// The server has answered a call: not merely accepted a connection.
    void succeeded() noexcept { attempts_ = 0; }
    std::uint32_t attempts() const noexcept { return attempts_; }

private:
    std::uint32_t attempts_ = 0;
};

}  // namespace uidnfs::nfs::rpc
