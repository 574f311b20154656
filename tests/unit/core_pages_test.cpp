// SPDX-License-Identifier: Apache-2.0
// What is mapped before it is touched: given memory, and what the heap grew by.
#include "core/pages.hpp"
#include "support/mapped_pages.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace uidnfs::core {
namespace {

TEST(Pages, AreMappedAsAskedForAndNoFurther) {
    void* const memory = ::mmap(
        nullptr, 4 * kMemoryPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0
    );
    ASSERT_NE(MAP_FAILED, memory);
    map_pages(memory, kMemoryPage + 1);
    EXPECT_EQ(
        (std::vector<bool>{true, true, false, false}), test::mapped_pages(memory, 4 * kMemoryPage)
    );
    ::munmap(memory, 4 * kMemoryPage);
}

TEST(Pages, WhatTheHeapGrewByIsMapped) {
    constexpr std::size_t kGrowth = 16 * kMemoryPage;
    map_heap_growth();
    const auto* const before = static_cast<std::byte*>(::sbrk(0));
    // By hand: malloc(3) of a sanitizer has no heap. It stays, for others may have come behind it.
    ASSERT_NE(reinterpret_cast<void*>(-1), ::sbrk(kGrowth));
    EXPECT_EQ(0, std::ranges::count(test::mapped_pages(before + kMemoryPage, kGrowth / 2), true));
    map_heap_growth();
    EXPECT_EQ(0, std::ranges::count(test::mapped_pages(before, kGrowth), false));
}

}  // namespace
}  // namespace uidnfs::core
