// SPDX-License-Identifier: Apache-2.0
// What the answers of a worker say about its mount.
#include "plugins/observe/mount_health.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace uidnfs::plugins::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Step = MountHealth::Step;

const WallTime kBegin(1000s);

core::Outcome<std::string> silence() { return core::Failure{ETIMEDOUT, "no answer within 2 s"}; }

TEST(MountHealth, says_what_the_worker_says) {
    MountHealth health(kBegin);
    EXPECT_EQ(health.health(), Health::healthy);
    EXPECT_TRUE(health.status().empty());
    EXPECT_EQ(health.take(R"({"state":"healthy","reason":""})", kBegin + 1s), Step::same);
    EXPECT_EQ(health.since(), kBegin);
    const auto* stale = R"({"state":"stale","reason":"server nas1 has not answered for 65 s"})";
    EXPECT_EQ(health.take(stale, kBegin + 2s), Step::changed);
    EXPECT_EQ(health.health(), Health::stale);
    EXPECT_EQ(health.reason(), "server nas1 has not answered for 65 s");
    EXPECT_EQ(health.since(), kBegin + 2s);
    EXPECT_EQ(health.status().at("state"), "stale");
}

TEST(MountHealth, the_same_trouble_is_told_once_with_its_last_reason) {
    MountHealth health(kBegin);
    health.take(R"({"state":"stale","reason":"for 65 s"})", kBegin);
    EXPECT_EQ(health.take(R"({"state":"stale","reason":"for 70 s"})", kBegin + 5s), Step::same);
    EXPECT_EQ(health.reason(), "for 70 s");
    EXPECT_EQ(health.since(), kBegin);
}

TEST(MountHealth, one_silence_may_be_a_busy_machine_and_two_are_none) {
    MountHealth health(kBegin);
    EXPECT_EQ(health.take(silence(), kBegin), Step::changed);
    EXPECT_EQ(health.health(), Health::degraded);
    EXPECT_EQ(health.take(silence(), kBegin + 5s), Step::changed);
    EXPECT_EQ(health.health(), Health::stale);
    EXPECT_EQ(health.reason(), "its worker does not answer: no answer within 2 s");
    EXPECT_EQ(health.take(R"({"state":"healthy","reason":""})", kBegin + 9s), Step::changed);
    EXPECT_EQ(health.reason(), "");
    health.take(silence(), kBegin + 14s);
    EXPECT_EQ(health.health(), Health::degraded);
}

TEST(MountHealth, a_worker_that_is_gone_has_failed) {
    MountHealth health(kBegin);
    health.take(core::Failure{ESRCH, "its worker is gone"}, kBegin);
    EXPECT_EQ(health.health(), Health::failed);
    EXPECT_EQ(health.reason(), "its worker is gone");
}

TEST(MountHealth, what_is_no_status_is_told_and_the_last_one_kept) {
    MountHealth health(kBegin);
    health.take(R"({"state":"healthy","worker_pid":7})", kBegin);
    for (const auto* odd : {"", "[]", "{\"state\":", "7"}) {
        health.take(odd, kBegin);
        EXPECT_EQ(health.health(), Health::degraded) << odd;
        EXPECT_THAT(health.reason(), HasSubstr("no status"));
        EXPECT_FALSE(health.has_fresh_status());
        EXPECT_EQ(health.status().at("worker_pid"), 7);
    }
    health.take(R"({"state":"splendid"})", kBegin);
    EXPECT_EQ(health.health(), Health::degraded);
    EXPECT_THAT(health.reason(), HasSubstr("another version"));
}

TEST(MountHealth, keeps_the_short_parts_of_a_status) {
    MountHealth health(kBegin);
    health.take(R"({"state":"healthy","worker_pid":7,"calls":{"in_flight":1}})", kBegin);
    EXPECT_TRUE(health.has_fresh_status());
    EXPECT_TRUE(health.status().contains("calls"));
    health.drop_details();
    EXPECT_FALSE(health.status().contains("calls"));
    EXPECT_EQ(health.status().at("worker_pid"), 7);
}

TEST(MountHealth, trouble_is_looked_at_more_often) {
    EXPECT_EQ(pause_after(Health::healthy), 30s);
    EXPECT_EQ(pause_after(Health::stale), 5s);
    EXPECT_EQ(pause_after(Health::failed), 5s);
}

TEST(MountHealth, mounts_that_came_together_are_spread) {
    EXPECT_EQ(first_pause(0), 15s);
    EXPECT_EQ(first_pause(500), 22500ms);
    EXPECT_EQ(first_pause(1999), 29985ms);
    EXPECT_LE(first_pause(~std::size_t{0}), 30s);
    EXPECT_GE(first_pause(~std::size_t{0}), 15s);
}

}  // namespace
}  // namespace uidnfs::plugins::testing
