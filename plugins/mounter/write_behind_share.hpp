// SPDX-License-Identifier: Apache-2.0
// How workers.write_behind_total is shared out: as if there were the next power of two of mounts,
// so that not every mount that comes or goes changes the share of all. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace uidnfs::plugins::mounter {

/// Bytes; no mount has less (the least that write_behind= may be).
inline constexpr std::uint64_t kLeastShare = 1ull << 20;

/// What each of `mounts` may hold; all together at most `total`. Nothing: there is not kLeastShare
/// for each.
std::optional<std::uint64_t> share_of(std::uint64_t total, std::size_t mounts) noexcept;

}  // namespace uidnfs::plugins::mounter
