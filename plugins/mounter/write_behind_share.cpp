// SPDX-License-Identifier: Apache-2.0
#include "plugins/mounter/write_behind_share.hpp"

#include <algorithm>
#include <bit>

namespace uidnfs::plugins::mounter {

std::optional<std::uint64_t> share_of(std::uint64_t total, std::size_t mounts) noexcept {
    mounts = std::max<std::size_t>(mounts, 1);
    if (total / mounts < kLeastShare) return std::nullopt;
    return std::max<std::uint64_t>(total / std::bit_ceil(mounts), kLeastShare);
}

}  // namespace uidnfs::plugins::mounter
