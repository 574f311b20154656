// SPDX-License-Identifier: Apache-2.0
// Seldom: how often a kind of line may be logged that somebody else can cause as often as he likes:
// a server that lies, a disk that is full. Pure; not thread-safe.
#pragma once

#include "core/clock.hpp"
#include "core/log.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace uidnfs::core {

class Seldom {
public:
    /// So many lines at once, and one more each `kInterval`.
    static constexpr int kBurst = 10;
    static constexpr std::chrono::seconds kInterval{10};

    /// Nothing: this line is left out. Else how many were left out since the last one that was
    /// written.
    std::optional<std::uint64_t> may(SteadyTime now) noexcept {
        const auto gained = (now - since_) / kInterval;
        if (gained > 0) {
            left_ = static_cast<int>(std::min<decltype(gained)>(kBurst, left_ + gained));
            since_ = now;
        }
        if (left_ == 0) {
            ++omitted_;
            return std::nullopt;
        }
        --left_;
        const auto omitted = omitted_;
        omitted_ = 0;
        return omitted;
    }

private:
    SteadyTime since_{};
    int left_ = kBurst;
    std::uint64_t omitted_ = 0;
};

/// Before the line that comes next.
inline void tell_omitted(std::uint64_t omitted) {
    if (omitted > 0) log::warning("{} lines like the next one were left out", omitted);
}

}  // namespace uidnfs::core
