// SPDX-License-Identifier: Apache-2.0
// Time as an argument: pure decisions take a Clock, so that tests can move it.
#pragma once

#include <chrono>

namespace uidnfs::core {

using SteadyTime = std::chrono::steady_clock::time_point;

inline SteadyTime now() noexcept { return std::chrono::steady_clock::now(); }
using SteadyDuration = std::chrono::steady_clock::duration;

class Clock {
public:
    virtual ~Clock() = default;
    virtual SteadyTime now() const = 0;
};

class SteadyClock final : public Clock {
public:
    SteadyTime now() const override { return core::now(); }
};

}  // namespace uidnfs::core
