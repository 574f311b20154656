// SPDX-License-Identifier: Apache-2.0
#include "plugins/mounter/write_behind_share.hpp"

#include <gtest/gtest.h>

namespace uidnfs::plugins::mounter {
namespace {

constexpr std::uint64_t kMiB = 1ull << 20;
constexpr std::uint64_t kGiB = 1ull << 30;

TEST(WriteBehindShare, all_shares_together_fit) {
    for (const auto total : {kMiB, 3 * kMiB, 300 * kMiB, kGiB, kGiB + 17, 64 * kGiB}) {
        for (std::size_t mounts = 1; mounts <= 2000; ++mounts) {
            const auto share = share_of(total, mounts);
            ASSERT_EQ(share.has_value(), total / mounts >= kMiB) << total << " " << mounts;
            if (!share) continue;
            ASSERT_GE(*share, kMiB);
            ASSERT_LE(*share * mounts, total) << mounts;
        }
    }
}

TEST(WriteBehindShare, it_changes_at_powers_of_two) {
    EXPECT_EQ(share_of(kGiB, 0), kGiB);
    EXPECT_EQ(share_of(kGiB, 1), kGiB);
    EXPECT_EQ(share_of(kGiB, 16), 64 * kMiB);
    EXPECT_EQ(share_of(kGiB, 17), 32 * kMiB);
    EXPECT_EQ(share_of(kGiB, 32), 32 * kMiB);
    EXPECT_EQ(share_of(kGiB, 1000), kMiB);
}

TEST(WriteBehindShare, the_last_mounts_get_the_least) {
    EXPECT_EQ(share_of(300 * kMiB, 300), kMiB);
    EXPECT_EQ(share_of(300 * kMiB, 301), std::nullopt);
}

}  // namespace
}  // namespace uidnfs::plugins::mounter
