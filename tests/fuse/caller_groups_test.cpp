// SPDX-License-Identifier: Apache-2.0
#include "fuse/caller_groups.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace uidnfs::fuse {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string status(std::string_view uids, std::string_view gids, std::string_view groups) {
    return fmt::format(
        "Name:\tUid:\\n\nUmask:\t0022\nUid:\t{}\nGid:\t{}\nFDSize:\t64\nGroups:\t{}\nNStgid:\t7\n",
        uids,
        gids,
        groups
    );
}

TEST(ParseIds, FileSystemIdsAreTheLastOfFour) {
    const auto ids = parse_ids(status("1\t2\t3\t4", "5\t6\t7\t8", "20 30 4294967294 "));
    ASSERT_TRUE(ids);
    EXPECT_EQ(ids->uid, 4u);
    EXPECT_EQ(ids->gid, 8u);
    EXPECT_THAT(ids->groups, ElementsAre(20, 30, 4294967294u));
}

TEST(ParseIds, NoGroupsIsAnEmptyList) {
    for (const auto* none : {"", " "}) {
        const auto ids = parse_ids(status("1\t1\t1\t1", "1\t1\t1\t1", none));
        ASSERT_TRUE(ids);
        EXPECT_THAT(ids->groups, IsEmpty());
    }
}

TEST(ParseIds, WhatIsNotUnderstoodIsNothing) {
    const auto good = status("1\t1\t1\t1", "1\t1\t1\t1", "5 6 ");
    EXPECT_FALSE(parse_ids(""));
    EXPECT_FALSE(parse_ids(status("1\t1\t1", "1\t1\t1\t1", "")));
    EXPECT_FALSE(parse_ids(status("1\t1\t1\t1", "1\t1\t1\tx", "")));
    EXPECT_FALSE(parse_ids(status("1\t1\t1\t1", "1\t1\t1\t1", "5 six 7 ")));
    EXPECT_FALSE(parse_ids(status("1\t1\t1\t1", "1\t1\t1\t1", "5 4294967296 ")));
    EXPECT_FALSE(parse_ids(good.substr(0, good.find("Groups:"))));
}

}  // namespace
}  // namespace uidnfs::fuse
