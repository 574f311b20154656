// SPDX-License-Identifier: Apache-2.0
// Sums over workers that come and go: nothing is forgotten, nothing counted twice.
#include "plugins/observe/worker_totals.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uidnfs::plugins::testing {
namespace {

using ::testing::ElementsAre;

const WorkerId kOne{100, 1};
const WorkerId kTwo{101, 1};

WorkerCounts counts(int calls, int retransmits = 0) {
    const auto text = fmt::format(
        R"({{"calls":{{"retransmits":{},"latency_bounds":[0.001],
            "procedures":{{"READ":{{"count":{},"errors":1,"total_seconds":{}.5,
            "latency":[{},0]}}}}}}}})",
        retransmits,
        calls,
        calls,
        calls
    );
    return read_counts(boost::json::parse(text).as_object());
}

TEST(Monotone, survives_a_counter_that_begins_anew) {
    Monotone sum;
    for (const auto now : {3.0, 5.0, 2.0, 2.0}) sum.take(now);
    EXPECT_EQ(sum.sum(), 7.0);
}

TEST(WorkerCounts, are_read_from_a_status) {
    const auto read = counts(7, 3);
    EXPECT_EQ(read.retransmits, 3);
    EXPECT_EQ(read.procedures.at("READ").calls, 7);
    EXPECT_EQ(read.procedures.at("READ").errors, 1);
    EXPECT_EQ(read.procedures.at("READ").seconds, 7.5);
    EXPECT_THAT(read.procedures.at("READ").latency, ElementsAre(7, 0));
}

TEST(WorkerCounts, what_is_no_number_is_nothing) {
    const auto read =
        read_counts(boost::json::parse(R"({"cache":7,"calls":{"retransmits":"x","bytes_sent":-5,
            "latency_bounds":[1],"procedures":{"READ":{"count":null,"latency":[1,2,3]},"WRITE":1}}})"
        )
                        .as_object());
    EXPECT_EQ(read.retransmits, 0);
    EXPECT_EQ(read.bytes_sent, 0);
    EXPECT_EQ(read.procedures.size(), 1u);
    EXPECT_EQ(read.procedures.at("READ").calls, 0);
    EXPECT_TRUE(read.procedures.at("READ").latency.empty()) << "three classes for one bound";
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
