// SPDX-License-Identifier: Apache-2.0
#include "plugins/mounter/keeper_pauses.hpp"

#include <gtest/gtest.h>

namespace uidnfs::plugins::mounter {
namespace {

using namespace std::chrono_literals;

class KeeperPausesTest : public ::testing::Test {
protected:
    core::SteadyTime now_ = core::SteadyTime(1h);
    KeeperPauses pauses_;
};

TEST_F(KeeperPausesTest, the_next_one_comes_at_once) {
    EXPECT_EQ(pauses_.died(now_), now_);
    EXPECT_EQ(pauses_.died(now_ + 1s), now_ + 1s);
}

TEST_F(KeeperPausesTest, keepers_that_die_again_and_again_come_at_a_pace) {
    for (int i = 0; i < 10 * KeeperPauses::kAtOnce; ++i) now_ = pauses_.died(now_);
    EXPECT_EQ(pauses_.died(now_), now_ + KeeperPauses::kOneMore);
    now_ += 1h;
    EXPECT_EQ(pauses_.died(now_), now_);
}

TEST_F(KeeperPausesTest, where_none_can_be_had_it_is_tried_ever_later_and_never_given_up) {
    pauses_.died(now_);
    EXPECT_EQ(pauses_.failed(now_), now_ + 100ms);
    EXPECT_EQ(pauses_.failed(now_), now_ + 200ms);
    for (int i = 0; i < 100; ++i) pauses_.failed(now_);
    EXPECT_EQ(pauses_.failed(now_), now_ + KeeperPauses::kLongest);
    // One was had, and has died now.
    EXPECT_EQ(pauses_.died(now_), now_);
    EXPECT_EQ(pauses_.failed(now_), now_ + KeeperPauses::kFirst);
}

}  // namespace
}  // namespace uidnfs::plugins::mounter
