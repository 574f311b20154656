// SPDX-License-Identifier: Apache-2.0
// Ranges of ids as rules have them.
#include "plugins/policy/id_ranges.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uidnfs::plugins::policy {
namespace {

using testing::HasSubstr;

std::string range(std::string_view text) {
    const auto parsed = parse_range(text);
    return parsed ? parsed->text() : parsed.error().user_text;
}

TEST(PolicyRange, IsReadAsItIsWritten) {
    EXPECT_EQ("1000-59999", range("1000-59999"));
    EXPECT_EQ("1000", range("1000"));
    EXPECT_EQ("1000", range("1000-1000"));
    EXPECT_EQ("4294967294", range("4294967294"));
    EXPECT_EQ("0", range("0"));
}

TEST(PolicyRange, RefusesRootAmongOthers) {
    EXPECT_THAT(range("0-10"), HasSubstr("includes 0, which is root"));
}

TEST(PolicyRange, RefusesEmptyOnes) {
    EXPECT_THAT(range("2-1"), HasSubstr("empty"));
    EXPECT_THAT(range("1-0"), HasSubstr("empty"));
}

TEST(PolicyRange, RefusesWhatIsNone) {
    for (const auto* text :
         {"",
          "-",
          "1-",
          "-1",
          "a",
          "1-b",
          "1-2-3",
          " 1",
          "1 ",
          "+1",
          "0x10",
          "010",
          "4294967295",
          "4294967296",
          "1000-4294967295",
          "1..2"}) {
        EXPECT_THAT(range(text), HasSubstr("not a range of ids")) << text;
    }
}

TEST(PolicyRange, HoldsItsEnds) {
    const std::vector<IdRange> ranges{{1000, 1999}, {5000, 5000}};
    for (const auto id : {1000u, 1500u, 1999u, 5000u}) EXPECT_TRUE(holds(ranges, id)) << id;
    for (const auto id : {0u, 999u, 2000u, 4999u, 5001u}) EXPECT_FALSE(holds(ranges, id)) << id;
    EXPECT_FALSE(holds({}, 1000));
    EXPECT_EQ("1000-1999, 5000", to_text(ranges));
}

TEST(PolicyRange, FindsOverlaps) {
    using Pair = std::pair<std::size_t, std::size_t>;
    EXPECT_EQ(Pair(0, 2), find_overlap({{10, 20}, {30, 40}, {20, 25}}));
    EXPECT_EQ(Pair(1, 2), find_overlap({{1, 2}, {10, 30}, {15, 16}}));
    EXPECT_EQ(Pair(2, 2), find_overlap({{10, 20}, {21, 30}}));
    EXPECT_EQ(Pair(0, 0), find_overlap({}));
}

}  // namespace
}  // namespace uidnfs::plugins::policy
