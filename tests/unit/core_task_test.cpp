// SPDX-License-Identifier: Apache-2.0
// Task and FramePool: when a coroutine runs, what it gives, where its frame comes from.
#include "core/task.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace uidnfs::core {
namespace {

using testing::ElementsAre;

/// Suspends whoever waits until somebody calls open().
class Gate {
public:
    struct Awaiter {
        Gate* gate;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> coroutine) noexcept {
            gate->waiting_ = coroutine;
        }
        void await_resume() const noexcept {}
    };

    Awaiter wait() noexcept { return {this}; }
    void open() { std::exchange(waiting_, nullptr).resume(); }
    bool is_waited_for() const noexcept { return waiting_ != nullptr; }

private:
    std::coroutine_handle<> waiting_;
};

Task<int> answer(int value) { co_return value; }

Task<void> store(Task<int> task, int& out) { out = co_await task; }

TEST(TaskTest, RunsOnlyWhenAwaited) {
    bool ran = false;
    const auto body = [](bool& flag) -> Task<void> {
        flag = true;
        co_return;
    };
    {
        auto task = body(ran);
        EXPECT_FALSE(ran);
    }
    EXPECT_FALSE(ran);
    spawn(body(ran));
    EXPECT_TRUE(ran);
}

TEST(TaskTest, GivesItsValueToTheOneWhoWaits) {
    int value = 0;
    spawn(store(answer(42), value));
    EXPECT_EQ(42, value);
}

TEST(TaskTest, ValueMayBeMoveOnly) {
    const auto make = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
    int value = 0;
    const auto use = [&make](int& out) -> Task<void> {
        auto task = make();
        const auto pointer = co_await task;
        out = *pointer;
    };
    spawn(use(value));
    EXPECT_EQ(7, value);
}

TEST(TaskTest, WaiterGoesOnWhenTheInnerTaskEnds) {
    Gate gate;
    std::vector<std::string> order;
    const auto inner = [&]() -> Task<int> {
        order.push_back("inner begins");
        auto wait = gate.wait();
        co_await wait;
        order.push_back("inner ends");
        co_return 5;
    };
    const auto outer = [&]() -> Task<void> {
        auto task = inner();
        const int value = co_await task;
        order.push_back("outer has " + std::to_string(value));
    };
    spawn(outer());
    order.push_back("caller");
    gate.open();
    EXPECT_THAT(order, ElementsAre("inner begins", "caller", "inner ends", "outer has 5"));
}

TEST(TaskTest, DestroyedTaskDestroysWhatItHolds) {
    const auto held = std::make_shared<int>(1);
    const auto body = [](std::shared_ptr<int> copy) -> Task<void> {
        *copy = 2;
        co_return;
    };
    {
        const auto task = body(held);
        EXPECT_EQ(2, held.use_count());
    }
    EXPECT_EQ(1, held.use_count());
    EXPECT_EQ(1, *held);
}

TEST(TaskTest, SpawnedTaskFreesItselfAtItsEnd) {
    Gate gate;
    const auto held = std::make_shared<int>(1);
    const auto body = [&gate](std::shared_ptr<int> copy) -> Task<void> {
        auto wait = gate.wait();
        co_await wait;
        *copy = 2;
    };
    spawn(body(held));
    EXPECT_TRUE(gate.is_waited_for());
    EXPECT_EQ(2, held.use_count());
    gate.open();
    EXPECT_EQ(1, held.use_count());
    EXPECT_EQ(2, *held);
}

TEST(TaskTest, AssignedTaskTakesThePlaceOfAnother) {
    int value = 0;
    auto task = answer(1);
    task = answer(2);
    spawn(store(std::move(task), value));
    EXPECT_EQ(2, value);
}

TEST(TaskTest, ManyThatEndAtOnceDoNotGrowTheStack) {
    constexpr int kMany = 200'000;  // enough to overflow the stack of a debug build
    int sum = 0;
    const auto loop = [](int& out) -> Task<void> {
        for (int i = 0; i < kMany; ++i) {
            auto task = answer(1);
            out += co_await task;
        }
    };
    spawn(loop(sum));
    EXPECT_EQ(kMany, sum);
}

TEST(FramePoolTest, FrameIsUsedAgain) {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "frames are freed, so that the sanitizer sees a use after their end";
#endif
    void* first = FramePool::allocate(200);
    FramePool::release(first, 200);
    void* second = FramePool::allocate(230);  // the same class of 64 bytes
    EXPECT_EQ(first, second);
    FramePool::release(second, 230);
}

TEST(FramePoolTest, AnyOfAClassFitsTheLargestOfIt) {
    // Each size, released as the smallest of its class and taken again as the largest.
    for (std::size_t size = 65; size <= 2048; size += 64) {
        void* small = FramePool::allocate(size);
        FramePool::release(small, size);
        auto* large = static_cast<std::byte*>(FramePool::allocate(size + 63));
        large[size + 62] = std::byte{1};
        FramePool::release(large, size + 63);
    }
}

TEST(FramePoolTest, LargeFramesAreNotKept) {
    constexpr std::size_t kLarge = 1 << 16;
    auto* frame = static_cast<std::byte*>(FramePool::allocate(kLarge));
    frame[kLarge - 1] = std::byte{1};
    FramePool::release(frame, kLarge);
}

}  // namespace
}  // namespace uidnfs::core
