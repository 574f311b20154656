// SPDX-License-Identifier: Apache-2.0
// What the keeper goes by when a worker dies or does not answer, and what the next one finds.
#include "app/mount_memory.hpp"
#include "app/process_state.hpp"
#include "app/restarts.hpp"

#include <gtest/gtest.h>

#include <string>

namespace uidnfs::app {
namespace {

using namespace std::chrono_literals;
using Verdict = HangWatch::Verdict;

core::SteadyTime at(std::chrono::milliseconds time) { return core::SteadyTime(1h) + time; }

TEST(ProcessState, IsReadBehindAnyName) {
    const auto state = parse_process_state(
        "17 (a) R (b) S 1 17 17 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 5 1 1\n", 100
    );
    ASSERT_TRUE(state);
    EXPECT_EQ(state->state, 'S');
    EXPECT_EQ(state->used, 3000ms);
}

TEST(ProcessState, WhatIsNotOneIsRefused) {
    for (const char* text : {"", "17 (a", "17 (a) S 1 17", "17 (a) S 1 1 1 0 -1 4 1 0 0 0 x y 0"}) {
        EXPECT_FALSE(parse_process_state(text, 100)) << text;
    }
}

class Hang : public ::testing::Test {
protected:
    void SetUp() override {
        watch.begin(at(0s));
        EXPECT_EQ(watch.next(), at(HangWatch::kEvery));
        watch.asked(at(0s), ProcessState{'S', 0s});
    }
    /// The second in which it is given up; 0: in none of a hundred.
    int given_up(auto&& state) {
        for (int second = 1; second <= 100; ++second) {
            const auto verdict =
                watch.look(at(std::chrono::seconds(second)), state(std::chrono::seconds(second)));
            if (verdict != Verdict::fine) return second;
        }
        return 0;
    }
    HangWatch watch;
};

TEST_F(Hang, AStoppedProcessHangs) {
    EXPECT_EQ(given_up([](auto) { return ProcessState{'T', 0s}; }), 10);
    EXPECT_EQ(watch.why(), "it did not answer for 10 s (state T)");
}

TEST_F(Hang, OneThatIsRunnableAndGetsNoProcessorDoesNot) {
    EXPECT_EQ(given_up([](auto) { return ProcessState{'R', 0s}; }), 0);
}

TEST_F(Hang, OneThatGetsALittleDoesNotYet) {
    EXPECT_EQ(given_up([](auto now) { return ProcessState{'R', now / 20}; }), 0);
}

TEST_F(Hang, OneThatIsBusyAllTheTimeDoes) {
    EXPECT_EQ(given_up([](auto now) { return ProcessState{'R', now}; }), 10);
}

TEST_F(Hang, OneThatRunsNowAndThenDoesNot) {
    int looks = 0;
    EXPECT_EQ(given_up([&](auto) { return ProcessState{++looks % 8 ? 'S' : 'R', 0s}; }), 0);
}

TEST_F(Hang, OneThatWaitsForTheDiskHasMoreTime) {
    EXPECT_EQ(given_up([](auto) { return ProcessState{'D', 0s}; }), 60);
}

TEST_F(Hang, AZombieIsDeadAtOnce) {
    EXPECT_EQ(watch.look(at(1s), ProcessState{'Z', 0s}), Verdict::dead);
}

TEST_F(Hang, AnAnswerBeginsAnew) {
    watch.answered(at(9s));
    EXPECT_FALSE(watch.is_asking());
    EXPECT_EQ(watch.next(), at(9s) + HangWatch::kEvery);
}

TEST(Restarts, ComeAtOnceAndThenAtAPace) {
    Restarts restarts;
    auto now = at(0s);
    for (int i = 0; i < Restarts::kAtOnce; ++i) {
        EXPECT_EQ(restarts.died(now), now) << i;
        restarts.ready();
    }
    EXPECT_EQ(restarts.died(now), now + Restarts::kOneMore);
    restarts.ready();
    EXPECT_EQ(restarts.died(now), now + 2 * Restarts::kOneMore);
    restarts.ready();
    now += 1h;
    EXPECT_EQ(restarts.died(now), now);
}

TEST(Restarts, EndWithWorkersThatNeverGetReady) {
    Restarts restarts;
    EXPECT_EQ(restarts.died(at(0s)), at(0s));
    auto before = at(0s);
    for (int i = 1; i < Restarts::kMostFailures; ++i) {
        const auto next = restarts.died(before);
        ASSERT_TRUE(next) << i;
        EXPECT_GE(*next, before);
        EXPECT_EQ(restarts.failures(), i);
        before = *next;
    }
    EXPECT_GT(before, at(10s)) << "ever later";
    EXPECT_FALSE(restarts.died(before));
}

TEST(Restarts, WhatCannotBeStartedForNowIsNoFailure) {
    Restarts restarts;
    EXPECT_EQ(restarts.died(at(0s)), at(0s));
    for (int i = 0; i < 10 * Restarts::kMostFailures; ++i) {
        restarts.wanted(at(0s));
        EXPECT_EQ(restarts.next(), at(0s) + Restarts::kWant);
        EXPECT_EQ(restarts.failures(), 0);
    }
}

TEST(MountMemory, TheLastClientStateIsFound) {
    const auto regions = mount_regions();
    auto arena = core::Arena::create(regions);
    ASSERT_TRUE(arena);
    EXPECT_TRUE(ClientMemory(*arena).load().empty());
    for (std::uint8_t i = 1; i <= 20; ++i) {
        const std::vector<std::byte> state(400, std::byte{i});
        ClientMemory(*arena).save(state);
        EXPECT_EQ(ClientMemory(*arena).load(), state);
    }
    const std::vector<std::byte> huge(5000);
    ClientMemory(*arena).save(huge);
    EXPECT_EQ(ClientMemory(*arena).load().size(), 400u) << "what does not fit is not kept in part";
}

}  // namespace
}  // namespace uidnfs::app
