// SPDX-License-Identifier: Apache-2.0
// Pages, as the kernel and servers keep files. Pure.
#pragma once

#include <cstdint>

namespace uidnfs::fs {

inline constexpr std::uint64_t kPage = 4096;

/// Where the page that holds `offset` begins.
constexpr std::uint64_t page_of(std::uint64_t offset) noexcept { return offset / kPage * kPage; }

}  // namespace uidnfs::fs
