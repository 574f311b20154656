// SPDX-License-Identifier: Apache-2.0
// Sums over workers that come and go: nothing is forgotten, nothing counted twice.
#include "plugins/observe/worker_totals.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string_view>

namespace uidnfs::plugins::testing {
namespace {

using ::testing::ElementsAre;

const WorkerId kOne{100, 1};
const WorkerId kTwo{101, 1};

WorkerCounts read(std::string_view text) {
    auto counts = read_counts(boost::json::parse(text).as_object());
    EXPECT_TRUE(counts);
    return counts.value_or(WorkerCounts{});
}

WorkerCounts counts(int calls, int retransmits = 0, int worker = 7) {
    return read(fmt::format(
        R"({{"worker_pid":{},"calls":{{"retransmits":{},"latency_bounds":[0.001],
            "procedures":{{"READ":{{"count":{},"errors":1,"total_seconds":{}.5,
            "latency":[{},0]}}}}}}}})",
        worker,
        retransmits,
        calls,
        calls,
        calls
    ));
}

TEST(Monotone, survives_a_counter_that_begins_anew) {
    Monotone sum;
    for (const auto now : {3.0, 5.0, 2.0, 2.0}) sum.take(now);
    EXPECT_EQ(sum.sum(), 7.0);
}

TEST(WorkerCounts, are_read_from_a_status) {
    const auto told = counts(7, 3);
    EXPECT_EQ(told.worker, 7u);
    EXPECT_EQ(told.retransmits, 3);
    EXPECT_EQ(told.procedures.at("READ").calls, 7);
    EXPECT_EQ(told.procedures.at("READ").errors, 1);
    EXPECT_EQ(told.procedures.at("READ").seconds, 7.5);
    EXPECT_THAT(told.procedures.at("READ").latency, ElementsAre(7, 0));
}

TEST(WorkerCounts, what_is_no_number_is_nothing) {
    const auto told = read(R"({"cache":7,"calls":{"retransmits":"x","bytes_sent":-5,
            "bytes_received":1e300,"latency_bounds":[1],
            "procedures":{"READ":{"count":null,"latency":[1,2,3]},"WRITE":1}}})");
    EXPECT_EQ(told.retransmits, 0);
    EXPECT_EQ(told.bytes_sent, 0);
    EXPECT_EQ(told.bytes_received, 0);
    EXPECT_EQ(told.procedures.size(), 1u);
    EXPECT_EQ(told.procedures.at("READ").calls, 0);
    EXPECT_TRUE(told.procedures.at("READ").latency.empty()) << "three classes for one bound";
}

TEST(WorkerCounts, procedures_that_the_protocol_has_not_are_none) {
    const auto told = read(R"({"calls":{"latency_bounds":[],"procedures":{
            "READDIRPLUS":{"count":2},"x1":{"count":1},"":{"count":1},"read":{"count":1}}}})");
    EXPECT_EQ(told.procedures.size(), 1u);
    EXPECT_EQ(told.procedures.at("READDIRPLUS").calls, 2);
}

TEST(WorkerCounts, a_keeper_that_answers_for_its_worker_knows_none) {
    for (const auto* text : {R"({"worker_pid":7,"calls":null})", "{}"}) {
        EXPECT_FALSE(read_counts(boost::json::parse(text).as_object())) << text;
    }
}

TEST(WorkerTotals, are_the_sum_of_all_workers) {
    WorkerTotals totals;
    totals.take(kOne, counts(10, 1));
    totals.take(kTwo, counts(5, 2));
    totals.take(kOne, counts(12, 1));
    EXPECT_EQ(totals.totals().procedures.at("READ").calls, 17);
    EXPECT_EQ(totals.totals().retransmits, 3);
    EXPECT_THAT(totals.totals().procedures.at("READ").latency, ElementsAre(17, 0));
}

TEST(WorkerTotals, do_not_go_backwards_when_one_ends) {
    WorkerTotals totals;
    totals.take(kOne, counts(10));
    totals.forget(kOne);
    totals.take(kTwo, counts(4));
    EXPECT_EQ(totals.totals().procedures.at("READ").calls, 14);
    EXPECT_EQ(totals.totals().procedures.at("READ").seconds, 15);
}

TEST(WorkerTotals, a_worker_that_was_started_anew_counts_from_nothing) {
    WorkerTotals totals;
    totals.take(kOne, counts(10, 5));
    totals.take(kOne, counts(3, 0));
    EXPECT_EQ(totals.totals().procedures.at("READ").calls, 13);
    EXPECT_EQ(totals.totals().retransmits, 5);
}

TEST(WorkerTotals, one_that_was_replaced_and_did_more_meanwhile_counts_from_nothing_too) {
    WorkerTotals totals;
    totals.take(kOne, counts(10, 5));
    totals.take(kOne, counts(30, 1, 8));
    EXPECT_EQ(totals.totals().procedures.at("READ").calls, 40);
    EXPECT_EQ(totals.totals().retransmits, 6);
}

TEST(WorkerTotals, no_sum_goes_backwards_whatever_a_worker_says) {
    WorkerTotals totals;
    totals.take(kOne, counts(10, 5));
    totals.take(kOne, counts(11, 2));
    EXPECT_EQ(totals.totals().procedures.at("READ").calls, 11);
    EXPECT_EQ(totals.totals().retransmits, 5);
}

TEST(WorkerTotals, what_a_daemon_before_this_one_has_told_is_not_told_again) {
    WorkerTotals totals;
    totals.take(kOne, counts(10, 5), Past::was_told);
    EXPECT_EQ(totals.totals().procedures.at("READ").calls, 0);
    totals.take(kOne, counts(12, 5), Past::was_told);
    EXPECT_EQ(totals.totals().procedures.at("READ").calls, 2);
    EXPECT_EQ(totals.totals().retransmits, 0);
    EXPECT_THAT(totals.totals().procedures.at("READ").latency, ElementsAre(2, 0));
    totals.take(kOne, counts(20, 1, 8), Past::was_told);
    EXPECT_EQ(totals.totals().procedures.at("READ").calls, 22) << "its worker is of our time";
}

TEST(WorkerTotals, times_in_other_classes_are_not_mixed_in) {
    WorkerTotals totals;
    totals.take(kOne, counts(10));
    auto other = counts(5);
    other.latency_bounds = {0.5};
    totals.take(kTwo, other);
    EXPECT_EQ(totals.totals().procedures.at("READ").calls, 15);
    EXPECT_THAT(totals.totals().procedures.at("READ").latency, ElementsAre(10, 0));
}

}  // namespace
}  // namespace uidnfs::plugins::testing
