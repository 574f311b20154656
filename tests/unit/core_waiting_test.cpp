// SPDX-License-Identifier: Apache-2.0
// Reactor, Event, Semaphore and Mutex: who wakes whom, when and in which order.
#include "core/event.hpp"
#include "core/reactor.hpp"
#include "core/task.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace uidnfs::core {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class WaitingTest : public testing::Test {
protected:
    Reactor reactor;
    std::vector<std::string> order;

    void note(std::string what) { order.push_back(std::move(what)); }
    /// Everything that is due runs; nothing is waited for.
    void settle() {
        reactor.io().restart();
        reactor.io().poll();
    }
};

TEST_F(WaitingTest, PostedWorkRunsOnTheReactorsThread) {
    std::thread::id ran_on;
    std::thread other([&] {
        reactor.post([&] {
            ran_on = std::this_thread::get_id();
            reactor.stop();
        });
    });
    reactor.run();
    other.join();
    EXPECT_EQ(std::this_thread::get_id(), ran_on);
}

TEST_F(WaitingTest, RunServesAlsoWithNothingToDoUntilStopped) {
    std::atomic<bool> ended{false};
    std::thread serving([&] {
        reactor.run();
        ended = true;
    });
    std::this_thread::sleep_for(20ms);
    EXPECT_FALSE(ended);
    reactor.stop();
    serving.join();
    EXPECT_TRUE(ended);
}

TEST_F(WaitingTest, RunUntilEndsWhenItIsDone) {
    int count = 0;
    for (int i = 0; i < 5; ++i) reactor.post([&] { ++count; });
    reactor.run_until([&] { return count == 3; });
    EXPECT_EQ(3, count);
    reactor.run_until([&] { return count == 5; });
    EXPECT_EQ(5, count);
}

TEST_F(WaitingTest, SleepsEndInTheOrderOfTheirTimes) {
    const auto sleeper = [this](SteadyDuration time, std::string name) -> Task<void> {
        auto sleep = reactor.sleep_for(time);
        co_await sleep;
        note(std::move(name));
    };
    const auto begin = std::chrono::steady_clock::now();
    spawn(sleeper(30ms, "late"));
    spawn(sleeper(5ms, "early"));
    EXPECT_THAT(order, IsEmpty());
    reactor.run_until([&] { return order.size() == 2; });
    EXPECT_THAT(order, ElementsAre("early", "late"));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 30ms);
}

struct Rescheduled {
    Reactor& reactor;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) { reactor.schedule(coroutine); }
    void await_resume() const noexcept {}
};

TEST_F(WaitingTest, ScheduledCoroutineRunsFromTheLoopNotInsideTheCaller) {
    const auto body = [this]() -> Task<void> {
        Rescheduled next{reactor};
        co_await next;
        note("coroutine");
    };
    spawn(body());
    note("caller");
    settle();
    EXPECT_THAT(order, ElementsAre("caller", "coroutine"));
}

TEST_F(WaitingTest, OneThatSchedulesItselfLetsOthersRun) {
    const auto body = [this]() -> Task<void> {
        for (int i = 0; i < 2; ++i) {
            Rescheduled next{reactor};
            co_await next;
            note("round " + std::to_string(i));
        }
    };
    spawn(body());
    reactor.post([this] { note("other"); });
    settle();
    EXPECT_THAT(order, ElementsAre("round 0", "other", "round 1"));
}

TEST_F(WaitingTest, ATurnEndsWithWhatItScheduledBeforeTheLoopGoesOn) {
    const auto body = [this]() -> Task<void> {
        for (int i = 0; i < 2; ++i) {
            Rescheduled next{reactor};
            co_await next;
            note("round " + std::to_string(i));
            reactor.soon([this, i] { note("after round " + std::to_string(i)); });
        }
    };
    reactor.post([&] {
        reactor.turn([&] {
            spawn(body());
            reactor.soon([this] { note("after the turn"); });
            reactor.post([this] { note("other"); });
            note("handler");
        });
        note("end");
    });
    settle();
    EXPECT_THAT(
        order,
        ElementsAre(
            "handler",
            "round 0",
            "after the turn",
            "after round 0",
            "end",
            "other",
            "round 1",
            "after round 1"
        )
    );
}

TEST_F(WaitingTest, SoonOutsideOfATurnRunsFromTheLoop) {
    reactor.soon([this] { note("soon"); });
    note("caller");
    settle();
    EXPECT_THAT(order, ElementsAre("caller", "soon"));
}

class EventTest : public WaitingTest {
protected:
    Event event{reactor};

    Task<void> waiter(std::string name) {
        auto wait = event.wait();
        co_await wait;
        note(std::move(name));
    }
};

TEST_F(EventTest, WakesAllInOrderAndFromTheLoop) {
    spawn(waiter("one"));
    spawn(waiter("two"));
    EXPECT_TRUE(event.has_waiters());
    event.notify_all();
    EXPECT_FALSE(event.has_waiters());
    note("notified");
    settle();
    EXPECT_THAT(order, ElementsAre("notified", "one", "two"));
}

TEST_F(EventTest, IsNotRememberedForThoseWhoComeLater) {
    event.notify_all();
    spawn(waiter("late"));
    settle();
    EXPECT_THAT(order, IsEmpty());
    event.notify_all();
    settle();
    EXPECT_THAT(order, ElementsAre("late"));
}

TEST_F(EventTest, OneWhoWaitsAgainWaitsForTheNext) {
    int woken = 0;
    const auto body = [&]() -> Task<void> {
        while (woken < 2) {
            auto wait = event.wait();
            co_await wait;
            ++woken;
        }
    };
    spawn(body());
    event.notify_all();
    settle();
    EXPECT_EQ(1, woken);
    event.notify_all();
    settle();
    EXPECT_EQ(2, woken);
}

class SemaphoreTest : public WaitingTest {
protected:
    Semaphore semaphore{reactor, 10};

    Task<void> taker(std::int64_t units, std::string name) {
        auto acquire = semaphore.acquire(units);
        co_await acquire;
        note(std::move(name));
    }
};

TEST_F(SemaphoreTest, BudgetIsHandedOutWithoutWaiting) {
    spawn(taker(4, "four"));
    spawn(taker(6, "six"));
    EXPECT_THAT(order, ElementsAre("four", "six"));
    EXPECT_EQ(0, semaphore.available());
    EXPECT_EQ(10, semaphore.taken());
    EXPECT_FALSE(semaphore.try_acquire(1));
}

TEST_F(SemaphoreTest, LargeRequestIsNotStarvedBySmallOnes) {
    spawn(taker(8, "first"));
    spawn(taker(6, "large"));
    spawn(taker(1, "small"));
    EXPECT_FALSE(semaphore.try_acquire(1));
    EXPECT_THAT(order, ElementsAre("first"));
    semaphore.release(4);
    settle();
    EXPECT_THAT(order, ElementsAre("first", "large"));
    semaphore.release(1);
    settle();
    EXPECT_THAT(order, ElementsAre("first", "large", "small"));
}

TEST_F(SemaphoreTest, OneReleaseMayWakeSeveral) {
    spawn(taker(10, "all"));
    for (const auto* name : {"a", "b", "c"}) spawn(taker(3, name));
    semaphore.release(10);
    EXPECT_THAT(order, ElementsAre("all"));
    settle();
    EXPECT_THAT(order, ElementsAre("all", "a", "b", "c"));
    EXPECT_EQ(9, semaphore.taken());
}

TEST_F(SemaphoreTest, MoreThanTheBudgetWaitsForAllOfIt) {
    spawn(taker(1, "one"));
    spawn(taker(25, "huge"));
    EXPECT_THAT(order, ElementsAre("one"));
    semaphore.release(1);
    settle();
    EXPECT_THAT(order, ElementsAre("one", "huge"));
    EXPECT_EQ(-15, semaphore.available());
    spawn(taker(1, "next"));
    semaphore.release(25);
    settle();
    EXPECT_THAT(order, ElementsAre("one", "huge", "next"));
}

TEST_F(SemaphoreTest, ForcedUnitsGoBelowZeroAndHoldOthersBack) {
    semaphore.force_acquire(14);
    EXPECT_EQ(-4, semaphore.available());
    spawn(taker(2, "two"));
    semaphore.release(5);
    settle();
    EXPECT_THAT(order, IsEmpty());
    semaphore.release(1);
    settle();
    EXPECT_THAT(order, ElementsAre("two"));
}

TEST_F(SemaphoreTest, ASmallerBudgetIsSettledBeforeAnybodyGetsMore) {
    spawn(taker(8, "eight"));
    semaphore.grow(-6);
    EXPECT_EQ(-4, semaphore.available());
    EXPECT_EQ(8, semaphore.taken());
    spawn(taker(2, "two"));
    semaphore.release(5);
    settle();
    EXPECT_THAT(order, ElementsAre("eight"));
    semaphore.release(1);
    settle();
    EXPECT_THAT(order, ElementsAre("eight", "two"));
}

TEST_F(SemaphoreTest, ALargerBudgetWakesWhoWaits) {
    spawn(taker(10, "ten"));
    spawn(taker(3, "three"));
    semaphore.grow(2);
    settle();
    EXPECT_THAT(order, ElementsAre("ten"));
    semaphore.grow(1);
    settle();
    EXPECT_THAT(order, ElementsAre("ten", "three"));
    EXPECT_EQ(13, semaphore.taken());
}

class MutexTest : public WaitingTest {
protected:
    Mutex mutex{reactor};
    int inside = 0;

    Task<void> worker(std::string name) {
        auto acquire = mutex.lock();
        auto lock = co_await acquire;
        EXPECT_EQ(0, inside++);
        note(std::move(name));
        Rescheduled next{reactor};
        co_await next;
        --inside;
    }
};

TEST_F(MutexTest, OneAtATimeInOrderOfArrival) {
    for (const auto* name : {"a", "b", "c"}) spawn(worker(name));
    EXPECT_TRUE(mutex.is_locked());
    EXPECT_THAT(order, ElementsAre("a"));
    settle();
    EXPECT_THAT(order, ElementsAre("a", "b", "c"));
    EXPECT_FALSE(mutex.is_locked());
}

TEST_F(MutexTest, MovedLockUnlocksOnce) {
    const auto body = [this]() -> Task<void> {
        auto acquire = mutex.lock();
        auto lock = co_await acquire;
        {
            const auto moved = std::move(lock);
            EXPECT_TRUE(mutex.is_locked());
        }
        EXPECT_FALSE(mutex.is_locked());
    };
    spawn(body());
    EXPECT_FALSE(mutex.is_locked());
    spawn(worker("next"));
    EXPECT_THAT(order, ElementsAre("next"));
    settle();
}

}  // namespace
}  // namespace uidnfs::core
