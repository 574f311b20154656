// SPDX-License-Identifier: Apache-2.0
#include "app/status_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace uidnfs::app {
namespace {

using testing::HasSubstr;
using testing::Not;

nfs::ClientStatus client() {
    nfs::ClientStatus status;
    status.server_address = "192.0.2.2:2049";
    status.local_ports = {801, 802};
    status.link = nfs::ClientStatus::Link::up;
    return status;
}

TEST(Judge, IsHealthyWhileCallsAreAnswered) {
    const auto health = judge(client(), 600);
    EXPECT_EQ(health.state, State::healthy);
    EXPECT_EQ(health.reason, "");
}

TEST(Judge, IsDegradedWhileACallWaits) {
    auto status = client();
    status.oldest_call_age_ms = 6000;
    EXPECT_EQ(judge(status, 600).state, State::degraded);
    EXPECT_THAT(judge(status, 600).reason, HasSubstr("192.0.2.2:2049"));
    status.oldest_call_age_ms = 4000;
    EXPECT_EQ(judge(status, 600).state, State::healthy);
}

TEST(Judge, IsStaleAfterTimeo) {
    auto status = client();
    status.oldest_call_age_ms = status.last_reply_age_ms = 60'000;
    EXPECT_EQ(judge(status, 600).state, State::stale);
    EXPECT_EQ(judge(status, 601).state, State::degraded);
    status.oldest_call_age_ms = status.last_reply_age_ms = 1500;
    EXPECT_EQ(judge(status, 10).state, State::stale);
    EXPECT_EQ(judge(status, 1).state, State::stale);
    status.oldest_call_age_ms = status.last_reply_age_ms = 900;
    EXPECT_EQ(judge(status, 1).state, State::healthy);
}

TEST(Judge, TakesOneSlowCallAmongOthersForSlow) {
    auto status = client();
    status.oldest_call_age_ms = 90'000;
    status.last_reply_age_ms = 10;
    EXPECT_EQ(judge(status, 600).state, State::degraded);
}

TEST(Judge, IsDegradedWithoutAConnection) {
    auto status = client();
    status.link = nfs::ClientStatus::Link::down;
    EXPECT_EQ(judge(status, 600).state, State::degraded);
    status.oldest_call_age_ms = status.last_reply_age_ms = 61'000;
    EXPECT_EQ(judge(status, 600).state, State::stale);
}

class StatusTest : public testing::Test {
protected:
    StatusTest() {
        MountSpec spec;
        spec.source = "nas1:/exports/a";
        spec.mountpoint = "/mnt";
        spec.since = "2026-01-31T12:00:00Z";
        spec.keeper_pid = 11;
        const auto request = config::parse_mount_request(
            spec.source, config::split_option_string("uid=1001,gid=1002,gids=7:8", "-o")
        );
        status_ = describe_mount(spec, *request);
    }
    boost::json::object status_;
};

TEST_F(StatusTest, HasEveryPromisedName) {
    for (const auto* name :
         {"mountpoint",
          "source",
          "state",
          "reason",
          "uid",
          "gid",
          "gids",
          "identity_source",
          "app_uid",
          "app_gid",
          "worker_pid",
          "keeper_pid",
          "version",
          "keeper_version",
          "since",
          "server_address",
          "local_ports",
          "oldest_call_age",
          "last_reply_age",
          "locks",
          "takeover",
          "options",
          "operations",
          "cache",
          "bytes_not_committed"}) {
        EXPECT_TRUE(status_.contains(name)) << name;
        EXPECT_TRUE(describe_unknown("/mnt", "a:/b").contains(name)) << name;
    }
}

TEST_F(StatusTest, SaysWhoseMountItIs) {
    EXPECT_EQ(status_["uid"], 1001);
    EXPECT_EQ(status_["gid"], 1002);
    EXPECT_EQ(status_["gids"], (boost::json::array{7, 8}));
    EXPECT_EQ(status_["identity_source"], "declared");
    EXPECT_EQ(status_["app_uid"], 2000);
    EXPECT_EQ(status_["takeover"], "none");
    EXPECT_EQ(status_["locks"], "local");
    EXPECT_EQ(status_["options"].at("uid"), "1001");
}

TEST_F(StatusTest, KeepsUnknownNumbersNull) {
    EXPECT_TRUE(status_["bytes_not_committed"].is_null());
    fs::FsStatus filesystem;
    filesystem.bytes_not_committed = 17;
    add_filesystem(status_, filesystem);
    EXPECT_EQ(status_["bytes_not_committed"], 17u);
}

TEST_F(StatusTest, SaysHowManyRoundTripsWereSaved) {
    fs::FsStatus filesystem;
    filesystem.attribute_hits = 1;
    filesystem.lookup_hits = 20;
    filesystem.access_hits = 300;
    filesystem.read_ahead_hits = 4000;
    filesystem.attribute_misses = 50'000;
    filesystem.read_ahead_bytes = 7;
    add_filesystem(status_, filesystem);
    EXPECT_EQ(status_["cache"].at("round_trips_saved"), 4321u);
    EXPECT_EQ(status_["cache"].at("read_ahead_bytes"), 7u);
}

TEST_F(StatusTest, SaysHowSmallFilesReachTheDisk) {
    using Way = fs::SyncChoice::Way;
    fs::FsStatus filesystem;
    add_filesystem(status_, filesystem);
    EXPECT_NE(render_status(status_).find("small files by FILE_SYNC"), std::string::npos);
    for (int i = 0; i < 4; ++i) {
        filesystem.small_files.took(Way::file_sync, std::chrono::milliseconds(3));
        filesystem.small_files.took(Way::commit, std::chrono::milliseconds(1));
    }
    add_filesystem(status_, filesystem);
    const auto& small_files = status_["cache"].at("small_files");
    EXPECT_EQ(small_files.at("way"), "commit");
    EXPECT_DOUBLE_EQ(small_files.at("file_sync").as_double(), 0.003);
    EXPECT_NE(render_status(status_).find("UNSTABLE and COMMIT"), std::string::npos);
}

TEST_F(StatusTest, IsHealthyOnlyWhenItSaysSo) {
    EXPECT_FALSE(is_healthy(status_));
    set_health(status_, {});
    EXPECT_TRUE(is_healthy(status_));
    set_health(status_, {State::degraded, "slow"});
    EXPECT_FALSE(is_healthy(status_));
    EXPECT_FALSE(is_healthy({}));
}

TEST_F(StatusTest, CountsCallsByTheirTime) {
    auto seen = client();
    seen.procedures = {{"GETATTR", 10, 0, 20'000, 5000, {4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};
    add_client(status_, seen);
    const auto& calls = status_.at("calls").as_object();
    EXPECT_EQ(calls.at("latency_bounds").as_array().size(), 10u);
    EXPECT_DOUBLE_EQ(calls.at("latency_bounds").as_array()[1].as_double(), 0.001);
    const auto& getattr = calls.at("procedures").as_object().at("GETATTR").as_object();
    EXPECT_EQ(boost::json::serialize(getattr.at("latency")), "[4,5,0,0,0,0,0,0,0,0,1]");
}

TEST_F(StatusTest, IsAPageForPeople) {
    auto seen = client();
    seen.procedures = {{"GETATTR", 10, 1, 20'000, 5000, {}}};
    add_client(status_, seen);
    fs::FsStatus filesystem;
    filesystem.bytes_not_committed = 3 << 20;
    filesystem.write_behind_budget = 64 << 20;
    add_filesystem(status_, filesystem);
    fuse::SessionStatus session;
    session.operations = {{"LOOKUP", 5, 0, 10'000, 4000}};
    add_session(status_, session);
    set_health(status_, {});
    const auto text = render_status(status_);
    EXPECT_THAT(text, HasSubstr("nas1:/exports/a on /mnt: healthy\n"));
    EXPECT_THAT(text, HasSubstr("1001:1002 groups 7,8 (declared), shown as 2000:2000"));
    EXPECT_THAT(text, HasSubstr("192.0.2.2:2049 from port 801,802"));
    EXPECT_THAT(text, HasSubstr("3.0 MiB not yet committed of 64.0 MiB"));
    EXPECT_THAT(text, HasSubstr("LOOKUP"));
    EXPECT_THAT(text, HasSubstr("mean 2.00 ms, longest 4.0 ms, errors 0"));
    EXPECT_THAT(text, Not(HasSubstr("replaced")));
}

TEST_F(StatusTest, SaysThatWorkersWereReplacedAndWhy) {
    status_["takeovers"] = 3;
    status_["upgrades"] = 1;
    status_["last_takeover"] = boost::json::object{
        {"time", "2026-01-31T12:00:00Z"}, {"reason", "killed by signal 9 (Killed)"}};
    EXPECT_THAT(
        render_status(status_),
        HasSubstr("replaced   3 workers (1 of them by upgrades), the last at 2026-01-31T12:00:00Z: "
                  "killed by signal 9 (Killed)\n")
    );
    status_["takeovers"] = 1;
    EXPECT_THAT(render_status(status_), HasSubstr("replaced   1 worker (1 of them by upgrades), "));
}

TEST_F(StatusTest, BelievesNothingThatItPrints) {
    const auto text = render_status(boost::json::parse(
                                        R"({"source":"a\u001b[31m","mountpoint":7,"state":"failed",
        "reason":"x\ny","version":"1","cache":[],"operations":{"\u0007":{"count":"many"}},
        "calls":{"bytes_sent":-1},"options":{"a":null}})"
    )
                                        .as_object());
    EXPECT_THAT(text, HasSubstr("a\\x1b[31m on 7: failed (x\\x0ay)"));
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
    EXPECT_THAT(text, Not(HasSubstr("\x07")));
}

TEST(StatusOfNobody, IsOneLine) {
    auto status = describe_unknown("/mnt", "a:/b");
    set_health(status, {State::failed, "its keeper process is gone"});
    EXPECT_EQ(render_status(status), "a:/b on /mnt: failed (its keeper process is gone)\n");
}

}  // namespace
}  // namespace uidnfs::app
