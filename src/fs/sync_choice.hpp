// SPDX-License-Identifier: Apache-2.0
// SyncChoice: how bytes that fit one WRITE get to the server's disk: FILE_SYNC, which is one call,
// or UNSTABLE and COMMIT, which are two but may let a server sync the files of many at once.
// Measured per mount on the flushes that applications wait for anyway (docs/decisions/0014). Pure;
// owned by Writer.
#pragma once

#include "core/clock.hpp"

#include <array>
#include <cstdint>

namespace uidnfs::fs {

class SyncChoice {
public:
    enum class Way : std::uint8_t { file_sync = 0, commit = 1 };

    /// How to do the next one: the faster way, and now and then the other, to know what it takes.
    Way next() noexcept;
    /// One that went this way took so long.
    void took(Way way, core::SteadyDuration time) noexcept;
    Way preferred() const noexcept { return preferred_; }
    /// What the last few took; zero before the first.
    std::chrono::nanoseconds mean(Way way) const noexcept {
        return std::chrono::nanoseconds(seen_[static_cast<std::size_t>(way)].mean_ns);
    }

private:
    struct Seen {
        std::uint32_t samples = 0;
        std::int64_t mean_ns = 0;  ///< of the last few
    };
    Seen& seen(Way way) noexcept { return seen_[static_cast<std::size_t>(way)]; }

    std::array<Seen, 2> seen_;
    std::uint32_t count_ = 0;
    Way preferred_ = Way::file_sync;
};

}  // namespace uidnfs::fs
