// SPDX-License-Identifier: Apache-2.0
#include "core/code_pages.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <stdexcept>
#include <string>

namespace {

/// KiB of mapped files in this process' resident set (proc(5), RssFile).
std::size_t resident_of_files() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        std::size_t size = 0;
        if (word == "RssFile:" && status >> size) return size;
    }
    return 0;
}

TEST(CodePages, leave_the_resident_set_and_come_back_when_needed) {
    const auto before = resident_of_files();
    ASSERT_GT(before, 0U);
    uidnfs::core::give_back_code();
    const auto after = resident_of_files();
    EXPECT_LT(after, before * 3 / 4);
    // The linker's relocations are still there: what goes through them works.
    EXPECT_EQ(std::stoul(std::to_string(before)), before);
    EXPECT_THROW(throw std::runtime_error("thrown"), std::runtime_error);
    EXPECT_GE(resident_of_files(), after);
}

}  // namespace
