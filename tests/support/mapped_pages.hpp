// SPDX-License-Identifier: Apache-2.0
// Which pages this process has mapped (proc(5), pagemap), for tests of what is mapped ahead of use.
#pragma once

#include "core/fd.hpp"
#include "core/pages.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace uidnfs::test {

/// Of each page from the one that holds `begin` to that of the byte before begin + bytes.
inline std::vector<bool> mapped_pages(const void* begin, std::size_t bytes) {
    const core::Fd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    const auto first = reinterpret_cast<std::uintptr_t>(begin);
    std::vector<bool> mapped;
    for (auto page = first / core::kMemoryPage; page * core::kMemoryPage < first + bytes; ++page) {
        std::uint64_t entry = 0;
        EXPECT_EQ(
            ::pread(pagemap.get(), &entry, sizeof entry, static_cast<off_t>(page * sizeof entry)),
            static_cast<ssize_t>(sizeof entry)
        );
        mapped.push_back((entry >> 63) != 0);
    }
    return mapped;
}

}  // namespace uidnfs::test
