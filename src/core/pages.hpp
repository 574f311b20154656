// SPDX-License-Identifier: Apache-2.0
// Pages of memory that are about to be written, mapped many at a time. A page fault for each costs
// twice that on bare machines, and ten times that where a hypervisor answers it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace uidnfs::core {

inline constexpr std::uint32_t kMemoryPage = 4096;

/// Where the page ends that holds the byte before `bytes`.
constexpr std::uint64_t page_above(std::uint64_t bytes) noexcept {
    return (bytes + kMemoryPage - 1) / kMemoryPage * kMemoryPage;
}

/// Maps what lies in [begin, begin + bytes), for writing, in one system call (madvise(2),
/// MADV_POPULATE_WRITE). Linux 5.14 or later; before, and without memory, nothing happens: each
/// page comes when it is touched. REQUIRES: `begin` is at a page.
void map_pages(void* begin, std::size_t bytes) noexcept;

/// Maps what the heap of malloc(3) grew by at its end since the last call; without growth it is no
/// system call. Called where much is allocated that stays. Any thread.
void map_heap_growth() noexcept;

}  // namespace uidnfs::core
