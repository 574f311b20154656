// SPDX-License-Identifier: Apache-2.0
// Retry: whether a mount that failed is tried again, and when: fg, bg and retry= of nfs(5), with
// the permanent errors and the pauses of mount.nfs(8) (nfs-utils, utils/mount/stropts.c). Pure.
#pragma once

#include "config/mount_options.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/growing_pauses.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace uidnfs::app {

class Retry {
public:
    /// `now`: when the first try begins.
    Retry(config::When when, core::SteadyDuration window, core::SteadyTime now) noexcept
        : when_(when),
          until_(now + window),
          begun_(now),
          pauses_(kFirst, when == config::When::background ? kLongestInBackground : kLongest) {}

    /// A try has failed. How long to wait until the next one; nothing: it is over.
    std::optional<core::SteadyDuration> next(const core::Failure& failure, core::SteadyTime now);

    std::uint32_t tries() const noexcept { return tries_; }
    /// The failure as the end of it all: says what was tried, when that was more than one try.
    core::Failure last_word(core::Failure failure, core::SteadyTime now) const;

private:
    static constexpr std::chrono::seconds kFirst{1};
    static constexpr std::chrono::seconds kLongest{10};
    static constexpr std::chrono::seconds kLongestInBackground{120};

    config::When when_;
    core::SteadyTime until_;
    core::SteadyTime begun_;
    std::uint32_t tries_ = 1;
    core::GrowingPauses pauses_;
};

/// Whether waiting may help: the server, or the way to it, is not there. What a server has decided
/// (access denied, no such export) and what is wrong here is permanent. A server without its NFS
/// service yet (ENOTSUP from the portmapper) is waited for in the background only.
bool may_pass(int code, config::When when) noexcept;

/// "2 min", "45 s".
std::string describe_span(core::SteadyDuration span);

}  // namespace uidnfs::app
