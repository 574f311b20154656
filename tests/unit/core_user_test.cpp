// SPDX-License-Identifier: Apache-2.0
#include "core/user.hpp"

#include <gtest/gtest.h>

namespace uidnfs::core {
namespace {

TEST(FindUser, root_is_0) {
    const auto root = find_user("root");
    ASSERT_TRUE(root);
    EXPECT_EQ(root->uid, 0u);
    EXPECT_EQ(root->gid, 0u);
}

TEST(FindUser, who_is_not_there_is_nobody) {
    EXPECT_FALSE(find_user(""));
    EXPECT_FALSE(find_user("no-such-user-of-uidnfs"));
    EXPECT_FALSE(find_user("root\n"));
}

}  // namespace
}  // namespace uidnfs::core
