// SPDX-License-Identifier: Apache-2.0
#include "core/pages.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace uidnfs::core {

void map_pages(void* begin, std::size_t bytes) noexcept {
    (void)::madvise(begin, bytes, MADV_POPULATE_WRITE);
}

void map_heap_growth() noexcept {
    static std::atomic<std::byte*> known{nullptr};
    auto* const end = static_cast<std::byte*>(::sbrk(0));  // the C library knows it
    auto* const before = known.load(std::memory_order_relaxed);
    if (end == before) return;
    known.store(end, std::memory_order_relaxed);
    if (!before || end < before) return;
    const auto into_page = reinterpret_cast<std::uintptr_t>(before) % kMemoryPage;
    map_pages(before - into_page, static_cast<std::size_t>(end - before) + into_page);
}

}  // namespace uidnfs::core
