// SPDX-License-Identifier: Apache-2.0
#include "core/seldom.hpp"

#include <gtest/gtest.h>

namespace uidnfs::core {
namespace {

TEST(Seldom, a_burst_then_one_each_interval_and_the_rest_is_counted) {
    Seldom seldom;
    auto now = SteadyTime() + std::chrono::hours(1);
    for (int line = 0; line < Seldom::kBurst; ++line) EXPECT_EQ(seldom.may(now), 0u);
    for (int line = 0; line < 1000; ++line) EXPECT_EQ(seldom.may(now), std::nullopt);
    now += Seldom::kInterval;
    EXPECT_EQ(seldom.may(now), 1000u);
    EXPECT_EQ(seldom.may(now), std::nullopt);
    now += Seldom::kInterval;
    EXPECT_EQ(seldom.may(now), 1u);
}

TEST(Seldom, a_long_peace_gives_a_burst_and_no_more) {
    Seldom seldom;
    auto now = SteadyTime() + std::chrono::hours(1);
    seldom.may(now);
    now += std::chrono::hours(24 * 365);
    int written = 0;
    for (int line = 0; line < 1000; ++line) written += seldom.may(now) ? 1 : 0;
    EXPECT_EQ(written, Seldom::kBurst);
}

}  // namespace
}  // namespace uidnfs::core
