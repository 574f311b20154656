// SPDX-License-Identifier: Apache-2.0
#include "fs/sync_choice.hpp"

#include <algorithm>

namespace uidnfs::fs {
namespace {

/// A mean of fewer says nothing.
constexpr std::uint32_t kEnough = 4;
/// One in so many goes the other way: while nothing is known of that, and later.
constexpr std::uint32_t kProbeEarly = 16;
constexpr std::uint32_t kProbeLater = 64;
/// The mean of so many; a single sync that took long is soon forgotten.
constexpr std::int64_t kMeanOf = 8;
/// One that took longer than so many means met something else: an outage, a busy disk.
constexpr std::int64_t kOutlier = 4;

}  // namespace

SyncChoice::Way SyncChoice::next() noexcept {
    const auto other = preferred_ == Way::file_sync ? Way::commit : Way::file_sync;
    const auto& mine = seen(preferred_);
    const auto& theirs = seen(other);
    // Two calls to a server that is far away take twice the time: once tells that.
    const bool is_far_slower = mine.samples >= kEnough && theirs.samples > 0 &&
                               theirs.mean_ns >= mine.mean_ns / 2 * 3;
    const auto each = theirs.samples < kEnough && !is_far_slower ? kProbeEarly : kProbeLater;
    return ++count_ % each == 0 ? other : preferred_;
}

void SyncChoice::took(Way way, core::SteadyDuration time) noexcept {
    auto& mine = seen(way);
    auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
    if (mine.samples > 0) ns = std::min(ns, kOutlier * mine.mean_ns + 1);
    mine.samples = std::min(mine.samples + 1, kEnough);
    mine.mean_ns += mine.samples == 1 ? ns : (ns - mine.mean_ns) / kMeanOf;
    const auto& one = seen(Way::file_sync);
    const auto& two = seen(Way::commit);
    if (one.samples < kEnough || two.samples < kEnough) return;
    // The second call costs the server too: it must be worth a quarter of the time.
    if (two.mean_ns < one.mean_ns / 4 * 3) {
        preferred_ = Way::commit;
    } else if (two.mean_ns >= one.mean_ns) {
        preferred_ = Way::file_sync;
    }
}

}  // namespace uidnfs::fs
