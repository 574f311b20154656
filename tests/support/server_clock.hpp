// SPDX-License-Identifier: Apache-2.0
// ServerClock: what the test server takes for the time of day. Runs with the real clock until it is
// stopped; then it moves only when told. Guarded by its owner.
#pragma once

#include "nfs/types.hpp"

#include <chrono>
#include <cstdint>

namespace uidnfs::test {

class ServerClock {
public:
    using Nanoseconds = std::chrono::nanoseconds;

    /// From now on time stands still except for advance().
    void stop() noexcept {
        stopped_at_ = unrounded();
        running_ = false;
    }
    void advance(Nanoseconds by) noexcept {
        skew_ += by;
        stopped_at_ += by;
        last_ += by;  // a jump back must show, although time between changes never repeats
    }
    void set_tick(Nanoseconds tick) noexcept { tick_ = tick; }

    /// Of a change: two changes differ unless they fall into one tick, or the clock stands.
    nfs::Time stamp() noexcept {
        auto now = unrounded();
        if (running_ && now <= last_) now = last_ + Nanoseconds(1);
        last_ = now;
        return rounded(now);
    }
    nfs::Time now() const noexcept { return rounded(unrounded()); }

private:
    Nanoseconds unrounded() const noexcept {
        if (!running_) return stopped_at_;
        return std::chrono::system_clock::now().time_since_epoch() + skew_;
    }
    nfs::Time rounded(Nanoseconds at) const noexcept {
        at -= at % tick_;
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(at);
        return {seconds.count(), static_cast<std::uint32_t>((at - seconds).count())};
    }

    Nanoseconds skew_{0};
    Nanoseconds stopped_at_{0};
    Nanoseconds last_{0};
    Nanoseconds tick_{1};
    bool running_ = true;
};

}  // namespace uidnfs::test
