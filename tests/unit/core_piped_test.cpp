// SPDX-License-Identifier: Apache-2.0
// Pipes and PipedMemory: payload that is in a pipe until somebody looks at it.
#include "core/piped.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace uidnfs::core {
namespace {

constexpr std::size_t kHead = 100;
constexpr std::size_t kInPipe = 20000;

std::string text_of(const Slice& slice) {
    return {reinterpret_cast<const char*>(slice.data()), slice.size()};
}

class PipedTest : public testing::Test {
protected:
    PipedTest() {
        for (std::size_t i = 0; i < kHead + kInPipe; ++i) text.push_back(static_cast<char>(i * 7));
    }

    /// The text: its head in memory, the rest in a pipe.
    Slice slice() {
        auto pipe = pipes.take();
        if (!pipe) throw std::runtime_error("no pipe");
        auto& block = blocks.take();
        std::memcpy(block.data(), text.data(), kHead);
        const auto put = ::write(pipe->in.get(), text.data() + kHead, kInPipe);
        EXPECT_EQ(static_cast<ssize_t>(kInPipe), put);
        auto* const from = block.data() + kHead;
        auto* const memory = new PipedMemory(block, from, kInPipe, std::move(*pipe), pipes);
        return {*memory, block.data(), text.size()};
    }

    static std::string contents(const Pipe& pipe) {
        std::string out(kHead + kInPipe, '\0');
        const auto got = ::read(pipe.out.get(), out.data(), out.size());
        out.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        return out;
    }

    BufferPool blocks{32768, 4};
    Pipes pipes;
    std::string text;
};

TEST_F(PipedTest, WhoLooksGetsAllBytes) {
    const auto all = slice();
    EXPECT_EQ(kHead, beginning(all).size());
    EXPECT_NE(nullptr, all.piped());
    EXPECT_EQ(text, text_of(all));
    EXPECT_EQ(nullptr, all.piped());
    EXPECT_EQ(text.size(), beginning(all).size());
    EXPECT_EQ(text, text_of(all));
}

TEST_F(PipedTest, PartsOfItAreParts) {
    const auto all = slice();
    const auto inside = all.sub(kHead + 50, 1000);
    EXPECT_EQ(0u, beginning(inside).size());
    const auto before = all.sub(10, 20);
    EXPECT_EQ(20u, beginning(before).size());
    EXPECT_EQ(text.substr(kHead + 50, 1000), text_of(inside));
    EXPECT_EQ(text.substr(10, 20), text_of(before));
}

TEST_F(PipedTest, WhatIsPassedOnStays) {
    const auto all = slice();
    const auto to = Pipe::make();
    ASSERT_TRUE(to);
    for (int round = 0; round < 2; ++round) {
        ASSERT_TRUE(all.piped()->pass(*to, 5000));
        EXPECT_EQ(text.substr(kHead, 5000), contents(*to));
    }
    EXPECT_FALSE(all.piped()->pass(*to, kInPipe + 1)) << "more than there is";
    EXPECT_EQ(text, text_of(all));
}

TEST_F(PipedTest, OnlyABeginningCanBePassedOn) {
    const auto all = slice();
    const auto* const memory = all.piped();
    const auto* const at = all.place().data();
    EXPECT_TRUE(memory->can_pass(at, text.size()));
    EXPECT_TRUE(memory->can_pass(at + 10, kHead));
    EXPECT_TRUE(memory->can_pass(at + kHead, 1));
    EXPECT_FALSE(memory->can_pass(at, kHead)) << "nothing of it is in the pipe";
    EXPECT_FALSE(memory->can_pass(at + kHead + 1, 10));
    EXPECT_FALSE(memory->can_pass(at + 1, text.size()));
}

TEST_F(PipedTest, AFullTargetIsSaid) {
    const auto all = slice();
    const auto to = Pipe::make();
    ASSERT_TRUE(to);
    const std::vector<char> much(2 * Pipes::kBytes);
    EXPECT_FALSE(to->is_full());
    EXPECT_GT(::write(to->in.get(), much.data(), much.size()), 0);
    EXPECT_TRUE(to->is_full());
    EXPECT_FALSE(all.piped()->pass(*to, 1000));
}

TEST_F(PipedTest, APipeIsUsedAgainAndIsEmptyThen) {
    int first = -1;
    {
        auto pipe = pipes.take();
        ASSERT_TRUE(pipe);
        first = pipe->in.get();
        pipes.give_back(std::move(*pipe), 0);
    }
    { const auto unread = slice(); }
    auto again = pipes.take();
    ASSERT_TRUE(again);
    EXPECT_EQ(first, again->in.get());
    EXPECT_EQ("", contents(*again));
    pipes.give_back(std::move(*again), 0);
    pipes.trim();
}

TEST_F(PipedTest, ThereAreNoMoreThanAFew) {
    std::vector<Pipe> taken;
    while (auto pipe = pipes.take()) taken.push_back(std::move(*pipe));
    EXPECT_EQ(Pipes::kMost, taken.size());
    pipes.give_back(std::move(taken.back()), 0);
    taken.pop_back();
    auto one = pipes.take();
    EXPECT_TRUE(one);
    for (auto& pipe : taken) pipes.give_back(std::move(pipe), 0);
    pipes.give_back(std::move(*one), 0);
}

TEST_F(PipedTest, WhatDoesNotFitIsTriedMoreAndMoreSeldom) {
    const auto refusals = [this] {
        int count = 0;
        for (;; ++count) {
            if (auto pipe = pipes.take()) {
                pipes.give_back(std::move(*pipe), 0);
                return count;
            }
        }
    };
    EXPECT_EQ(0, refusals());
    pipes.does_not_fit();
    const auto first = refusals();
    EXPECT_GT(first, 0);
    pipes.does_not_fit();
    EXPECT_GT(refusals(), first);
    pipes.fits();
    pipes.does_not_fit();
    EXPECT_EQ(first, refusals());
}

}  // namespace
}  // namespace uidnfs::core
