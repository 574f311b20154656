// SPDX-License-Identifier: Apache-2.0
// MountHealth: what the answers of one worker say about its mount. Pure; the clock is an argument.
#pragma once

#include "core/clock.hpp"
#include "core/error.hpp"
#include "plugins/observe/audit_line.hpp"

#include <boost/json/object.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace uidnfs::plugins {

/// The words of `uidnfs status`.
enum class Health : std::uint8_t {
    healthy,
    degraded,  ///< works, but waits for the server
    stale,     ///< the server or the worker does not answer
    failed,    ///< cannot recover by itself
};
std::string_view to_string(Health health) noexcept;

class MountHealth {
public:
    /// Before the first answer it is healthy: a Mount ends only after the share answered.
    explicit MountHealth(WallTime now) : since_(now) {}

    enum class Step : std::uint8_t { same, changed };
    /// A status as JSON, or why there is none. One silence may be a busy machine, two are none.
    Step take(const core::Outcome<std::string>& answer, WallTime now);

    Health health() const noexcept { return health_; }
    const std::string& reason() const noexcept { return reason_; }
    /// The last answer was a status.
    bool has_fresh_status() const noexcept { return fresh_ == Fresh::yes; }
    WallTime since() const noexcept { return since_; }  ///< of this health
    /// The long parts of the last status are not needed any more: mounts are many.
    void drop_details();

    /// The last status that was told; empty before.
    const boost::json::object& status() const noexcept { return status_; }

private:
    Health health_ = Health::healthy;
    std::string reason_;
    WallTime since_;
    enum class Fresh : std::uint8_t { no, yes } fresh_ = Fresh::no;
    unsigned silences_ = 0;  // in a row
    boost::json::object status_;
};

/// Until it is asked again: 30 s when healthy, else 5 s.
core::SteadyDuration pause_after(Health health);
/// 15 to 30 s, by `phase` (any number, of the volume): spreads those that came together.
core::SteadyDuration first_pause(std::size_t phase);

}  // namespace uidnfs::plugins
