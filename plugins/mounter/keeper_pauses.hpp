// SPDX-License-Identifier: Apache-2.0
// KeeperPauses: when a mount whose keeper was killed is given the next one: at once, but not for
// ever so where keepers die again and again, and ever later where none can be had. It is never
// given up while the mount lives. Pure; takes the time as an argument.
#pragma once

#include "core/allowance.hpp"
#include "core/clock.hpp"
#include "core/growing_pauses.hpp"

#include <chrono>

namespace uidnfs::plugins::mounter {

class KeeperPauses {
public:
    /// So many at once, and one more for each kOneMore that passes.
    static constexpr int kAtOnce = 30;
    static constexpr std::chrono::seconds kOneMore{2};
    /// Between tries that fail.
    static constexpr std::chrono::milliseconds kFirst{100};
    static constexpr std::chrono::milliseconds kLongest{30'000};

    /// Its keeper was killed: when the next one is started.
    core::SteadyTime died(core::SteadyTime now) noexcept {
        pauses_.begin_anew();
        return allowance_.take(now);
    }
    /// None could be had: when the next try is.
    core::SteadyTime failed(core::SteadyTime now) noexcept { return now + pauses_.next(); }

private:
    core::GrowingPauses pauses_{kFirst, kLongest};
    core::Allowance allowance_{kAtOnce, kOneMore};
};

}  // namespace uidnfs::plugins::mounter
