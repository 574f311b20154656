// SPDX-License-Identifier: Apache-2.0
// The audit of connections: each is written once, whoever tells of it, and gaps are said.
#include "plugins/observe/connection_audit.hpp"

#include "core/log.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace uidnfs::plugins::testing {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const VolumeKey kKey{Dialect::docker, "web"};
const MountedVolume kVolume{
    kKey, {{4711, 99}, "/m", "/c", "rule 1"}, "nas1:/a", {1001, 1002, {}, "declared", ""}};

struct Lines {
    std::vector<json::object> all;
    int code = 0;
};

class LinesSink final : public AuditSink {
public:
    explicit LinesSink(Lines& lines) : lines_(lines) {}
    core::Result<void> write(std::string_view line) override {
        if (lines_.code != 0) return core::Error(lines_.code);
        lines_.all.push_back(json::parse(json::string_view(line)).as_object());
        return {};
    }
    core::Outcome<void> reopen() override { return {}; }
    std::string name() const override { return "the list"; }

private:
    Lines& lines_;
};

std::string made(int number, int port) {
    return fmt::format(
        R"({{"number":{},"event":"made","connection":{},"server_address":"192.0.2.1:2049",)"
        R"("local_port":{},"from":"2024-05-01T02:14:05.123Z"}})",
        number,
        number,
        port
    );
}

std::string ended(int number, int connection, int port) {
    return fmt::format(
        R"({{"number":{},"event":"ended","connection":{},"server_address":"192.0.2.1:2049",)"
        R"("local_port":{},"from":"2024-05-01T02:14:05.123Z","until":"2024-05-01T02:14:07.000Z"}})",
        number,
        connection,
        port
    );
}

std::string lost(int number, int count) {
    return fmt::format(R"({{"number":{},"event":"lost","count":{}}})", number, count);
}

class ConnectionAuditTest : public ::testing::Test {
protected:
    void SetUp() override { core::log::set_level(core::log::Level::off); }
    void TearDown() override { core::log::set_level(core::log::Level::info); }

    void tell(const std::string& news) {
        const auto status = json::parse(R"({"connections":[)" + news + "]}");
        audit().status_told(kVolume, status.as_object());
    }
    ConnectionAudit& audit() { return *audit_; }
    /// A daemon that was killed: it knows nothing, and the lines are there.
    void restart() { audit_ = std::make_unique<ConnectionAudit>(log_); }

    std::vector<std::string> lines() const {
        std::vector<std::string> out;
        for (const auto& line : lines_.all) {
            auto text = std::string(line.at("event").as_string());
            if (const auto* ports = line.if_contains("local_ports")) {
                text += " " + json::serialize(*ports);
            }
            if (const auto* count = line.if_contains("count"))
                text += " " + json::serialize(*count);
            out.push_back(std::move(text));
        }
        return out;
    }

    Lines lines_;
    AuditLog log_{std::make_unique<LinesSink>(lines_), {}};
    std::unique_ptr<ConnectionAudit> audit_ = std::make_unique<ConnectionAudit>(log_);
};

TEST_F(ConnectionAuditTest, a_line_says_who_it_was_from_where_and_from_when_until_when) {
    tell(made(1, 812) + "," + ended(2, 1, 812));
    ASSERT_EQ(lines_.all.size(), 2u);
    const auto& line = lines_.all[1];
    EXPECT_EQ(line.at("event"), "connection ended");
    EXPECT_EQ(line.at("plugin"), "docker");
    EXPECT_EQ(line.at("volume"), "web");
    EXPECT_EQ(line.at("source"), "nas1:/a");
    EXPECT_EQ(line.at("uid"), 1001);
    EXPECT_EQ(line.at("rule"), "rule 1");
    EXPECT_EQ(line.at("server_address"), "192.0.2.1:2049");
    EXPECT_EQ(line.at("local_ports"), (json::array{812}));
    EXPECT_EQ(line.at("from"), "2024-05-01T02:14:05.123Z");
    EXPECT_EQ(line.at("until"), "2024-05-01T02:14:07.000Z");
    EXPECT_EQ(line.at("connection"), "4711.99.1");
    EXPECT_EQ(lines_.all[0].at("connection"), "4711.99.1");
}

TEST_F(ConnectionAuditTest, each_is_written_once_however_often_it_is_told) {
    tell(made(1, 812));
    tell(made(1, 812) + "," + ended(2, 1, 812) + "," + made(3, 813));
    audit().ended(kKey, kVolume.worker.id, "[" + made(3, 813) + "," + ended(4, 3, 813) + "]");
    EXPECT_THAT(
        lines(),
        ElementsAre(
            "connection [812]",
            "connection ended [812]",
            "connection [813]",
            "connection ended [813]"
        )
    );
    // An answer that was on its way.
    tell(made(3, 813));
    EXPECT_EQ(lines_.all.size(), 4u);
}

TEST_F(ConnectionAuditTest, what_is_written_need_not_be_told_again) {
    EXPECT_EQ(audit().written(kVolume.worker.id), 0u);
    tell(made(1, 812) + "," + ended(2, 1, 812));
    EXPECT_EQ(audit().written(kVolume.worker.id), 2u);
    EXPECT_EQ(audit().written({1, 1}), 0u);
}

TEST_F(ConnectionAuditTest, a_line_that_waits_is_not_written) {
    tell(made(1, 812));
    ASSERT_EQ(audit().written(kVolume.worker.id), 1u);
    lines_.code = 28;
    tell(ended(2, 1, 812));
    EXPECT_EQ(audit().written(kVolume.worker.id), 1u);
    // Its daemon is killed meanwhile: the next one hears of it from the keeper.
    lines_.code = 0;
    restart();
    tell(ended(2, 1, 812));
    EXPECT_EQ(audit().written(kVolume.worker.id), 2u);
}

TEST_F(ConnectionAuditTest, a_daemon_that_was_started_again_goes_on_where_the_keeper_is) {
    tell(made(1, 812));
    restart();
    audit().know(kVolume);
    tell(ended(2, 1, 812));
    EXPECT_THAT(lines(), ElementsAre("connection [812]", "connection ended [812]"));
    EXPECT_EQ(lines_.all[1].at("from"), "2024-05-01T02:14:05.123Z");
}

TEST_F(ConnectionAuditTest, what_the_keeper_could_not_keep_is_said_and_counted_once) {
    tell(made(1, 812) + "," + ended(2, 1, 812));
    tell(lost(10, 10) + "," + made(11, 813));
    tell(lost(12, 12) + "," + ended(13, 11, 813));
    EXPECT_THAT(
        lines(),
        ElementsAre(
            "connection [812]",
            "connection ended [812]",
            "connections lost 8",
            "connection [813]",
            "connections lost 1",
            "connection ended [813]"
        )
    );
}

TEST_F(ConnectionAuditTest, a_mount_that_ends_before_it_was_ever_asked_is_told_at_its_end) {
    audit().decided(
        {.event = Decision::Event::mount,
         .volume = kKey,
         .reference = "r",
         .source = "nas1:/a",
         .identity = kVolume.identity,
         .rule = "rule 1",
         .worker = kVolume.worker.id}
    );
    audit().ended(kKey, kVolume.worker.id, "[" + made(1, 812) + "," + ended(2, 1, 812) + "]");
    EXPECT_THAT(lines(), ElementsAre("connection [812]", "connection ended [812]"));
    EXPECT_EQ(lines_.all[0].at("uid"), 1001);
    EXPECT_EQ(lines_.all[0].at("source"), "nas1:/a");
}

TEST_F(ConnectionAuditTest, a_keeper_that_was_killed_is_a_gap_that_is_said) {
    tell(made(1, 812));
    audit().ended(kKey, kVolume.worker.id, "");
    EXPECT_THAT(lines(), ElementsAre("connection [812]", "connections lost"));
    EXPECT_EQ(lines_.all[1].at("uid"), 1001);
    EXPECT_EQ(lines_.all[1].at("volume"), "web");
}

TEST_F(ConnectionAuditTest, an_end_that_is_told_twice_is_written_once) {
    tell(made(1, 812));
    const auto last_word = "[" + made(1, 812) + "," + ended(2, 1, 812) + "]";
    audit().ended(kKey, kVolume.worker.id, last_word);
    audit().ended(kKey, kVolume.worker.id, last_word);
    EXPECT_THAT(lines(), ElementsAre("connection [812]", "connection ended [812]"));
}

TEST_F(ConnectionAuditTest, a_mount_whose_keeper_ended_before_its_answer_is_not_kept_for_ever) {
    audit().ended(kKey, kVolume.worker.id, "[]");
    audit().decided(
        {.event = Decision::Event::mount,
         .volume = kKey,
         .reference = "r",
         .source = "nas1:/a",
         .identity = kVolume.identity,
         .worker = kVolume.worker.id}
    );
    tell(made(1, 812));
    EXPECT_THAT(lines(), IsEmpty());
}

TEST_F(ConnectionAuditTest, one_in_its_place_tells_again_of_those_that_are_there) {
    tell(made(1, 812) + "," + made(2, 813));
    audit().decided(
        {.event = Decision::Event::keeper_lost,
         .volume = kKey,
         .reference = {},
         .worker = kVolume.worker.id}
    );
    const int first = (1 << 30) + 1;  // higher than any of the one before
    tell(made(first, 812) + "," + ended(first + 1, first, 812));
    EXPECT_THAT(
        lines(),
        ElementsAre(
            "connection [812]",
            "connection [813]",
            "connections lost",
            "connection [812]",
            "connection ended [812]"
        )
    );
    EXPECT_EQ(lines_.all[2].at("source"), "nas1:/a");
}

TEST_F(ConnectionAuditTest, a_keeper_of_an_older_version_records_none) {
    audit().status_told(kVolume, json::object{{"state", "healthy"}});
    audit().ended(kKey, kVolume.worker.id, "");
    EXPECT_THAT(lines(), IsEmpty());
}

TEST_F(ConnectionAuditTest, what_is_no_news_is_left_out) {
    tell(R"(1,{"number":"x"},{"number":-3,"event":"made"},{"event":"made"},)" + made(1, 812));
    EXPECT_THAT(lines(), ElementsAre("connection [812]"));
}

}  // namespace
}  // namespace uidnfs::plugins::testing
