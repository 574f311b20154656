// SPDX-License-Identifier: Apache-2.0
// What a keeper knows of the ports of its mount.
#include "app/connection_record.hpp"

#include <boost/json.hpp>
#include <gtest/gtest.h>

#include <string>

namespace uidnfs::app {
namespace {

using namespace std::chrono_literals;

constexpr auto kServer = "192.0.2.1:2049";

ConnectionRecord::Time at(std::chrono::milliseconds time) {
    return ConnectionRecord::Time(1'714'529'645'000ms + time);
}

std::string told(const ConnectionRecord& record) { return boost::json::serialize(record.news()); }

TEST(ConnectionRecord, a_connection_is_told_when_it_is_made_and_when_it_ends) {
    ConnectionRecord record;
    EXPECT_EQ(told(record), "[]");
    record.made(kServer, 812, at(123ms));
    record.ended(kServer, 812, at(2s));
    EXPECT_EQ(
        told(record),
        R"([{"number":1,"event":"made","connection":1,"server_address":"192.0.2.1:2049",)"
        R"("local_port":812,"from":"2024-05-01T02:14:05.123Z"},)"
        R"({"number":2,"event":"ended","connection":1,"server_address":"192.0.2.1:2049",)"
        R"("local_port":812,"from":"2024-05-01T02:14:05.123Z",)"
        R"("until":"2024-05-01T02:14:07.000Z"}])"
    );
}

TEST(ConnectionRecord, what_is_written_down_is_forgotten_and_numbers_go_on) {
    ConnectionRecord record;
    record.made(kServer, 812, at(0ms));
    record.made("192.0.2.1:635", 813, at(0ms));
    record.forget(1);
    record.ended(kServer, 812, at(1s));
    const auto news = record.news();
    ASSERT_EQ(news.size(), 2u);
    EXPECT_EQ(news[0].at("number"), 2);
    EXPECT_EQ(news[0].at("local_port"), 813);
    EXPECT_EQ(news[1].at("number"), 3);
    EXPECT_EQ(news[1].at("connection"), 1);
    record.forget(3);
    EXPECT_EQ(told(record), "[]");
}

TEST(ConnectionRecord, numbers_of_the_next_keeper_are_higher) {
    ConnectionRecord record;
    record.begin_for(2);
    record.made("192.0.2.1:2049", 812, {});
    EXPECT_EQ(record.news().at(0).at("number"), (std::uint64_t{2} << 32) + 1);
    EXPECT_EQ(record.news().at(0).at("connection"), (std::uint64_t{2} << 32) + 1);
}

TEST(ConnectionRecord, the_end_of_what_never_began_is_no_news) {
    ConnectionRecord record;
    record.made(kServer, 812, at(0ms));
    record.ended(kServer, 813, at(0ms));
    record.ended("192.0.2.1:635", 812, at(0ms));
    EXPECT_EQ(record.news().size(), 1u);
}

TEST(ConnectionRecord, the_connections_of_a_dead_worker_have_ended) {
    ConnectionRecord record;
    record.made(kServer, 812, at(0ms));
    record.made(kServer, 813, at(0ms));
    record.worker_gone(at(3s));
    record.worker_gone(at(4s));
    const auto news = record.news();
    ASSERT_EQ(news.size(), 4u);
    EXPECT_EQ(news[3].at("local_port"), 813);
    EXPECT_EQ(news[3].at("until"), "2024-05-01T02:14:08.000Z");
}

TEST(ConnectionRecord, more_than_fit_are_lost_by_number) {
    ConnectionRecord record;
    for (std::size_t i = 0; i < ConnectionRecord::kMost; ++i) {
        record.made(kServer, 812, at(0ms));
        record.ended(kServer, 812, at(1s));
    }
    const auto news = record.news();
    ASSERT_EQ(news.size(), ConnectionRecord::kMost);
    EXPECT_EQ(news[0].at("event"), "lost");
    EXPECT_EQ(news[0].at("count"), ConnectionRecord::kMost + 1);
    EXPECT_EQ(news[0].at("number"), ConnectionRecord::kMost + 1);
    EXPECT_EQ(news[1].at("number"), ConnectionRecord::kMost + 2);
    // They fit into one answer of the control socket and into one record of the mounter.
    EXPECT_LT(told(record).size(), 12'288u);
}

TEST(ConnectionRecord, what_did_not_arrive_takes_its_numbers) {
    ConnectionRecord record;
    record.made(kServer, 812, at(0ms));
    record.missed(0);
    record.missed(3);
    record.ended(kServer, 812, at(1s));
    const auto news = record.news();
    ASSERT_EQ(news.size(), 3u);
    EXPECT_EQ(boost::json::serialize(news[1]), R"({"number":4,"event":"lost","count":3})");
    EXPECT_EQ(news[2].at("number"), 5);
}

TEST(ConnectionRecord, a_worker_that_invents_connections_takes_no_memory) {
    ConnectionRecord record;
    for (int i = 0; i < 10'000; ++i) {
        record.made(std::string(1000, 'x'), static_cast<std::uint16_t>(i), at(0ms));
    }
    EXPECT_EQ(record.news().size(), ConnectionRecord::kMost);
    EXPECT_LT(told(record).size(), 16'384u);
    record.worker_gone(at(1s));
    EXPECT_EQ(record.news().size(), ConnectionRecord::kMost);
}

}  // namespace
}  // namespace uidnfs::app
