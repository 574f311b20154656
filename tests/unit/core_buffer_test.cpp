// SPDX-License-Identifier: Apache-2.0
// BufferPool and Slice: who keeps memory alive, and when it is used again.
#include "core/buffer.hpp"
#include "support/mapped_pages.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <vector>

namespace uidnfs::core {
namespace {

constexpr std::size_t kBlock = 4096;

class BufferTest : public testing::Test {
protected:
    BufferPool pool{kBlock, 2};

    Slice slice() {
        auto& block = pool.take();
        return Slice(block, block.data(), block.capacity());
    }
};

TEST_F(BufferTest, BlockHasItsSizeAndCanBeWritten) {
    auto& block = pool.take();
    const Slice all(block, block.data(), block.capacity());
    EXPECT_EQ(kBlock, all.size());
    std::memset(block.data(), 7, block.capacity());
    EXPECT_EQ(std::byte{7}, all.bytes().back());
}

TEST_F(BufferTest, LastSliceGivesTheBlockBack) {
    std::optional<Slice> first = slice();
    std::optional<Slice> second = *first;
    first.reset();
    EXPECT_EQ(0u, pool.idle());
    second.reset();
    EXPECT_EQ(1u, pool.idle());
}

TEST_F(BufferTest, WhatIsAboutToBeWrittenIsMapped) {
    constexpr auto kPages = 4 * kMemoryPage;
    BufferPool large{kPages, 1};
    auto& block = large.take();
    const Slice hold(block, block.data(), 1);
    block.map(1);
    EXPECT_EQ(
        (std::vector<bool>{true, false, false, false}), test::mapped_pages(block.data(), kPages)
    );
    block.map(2 * kMemoryPage + 1);
    EXPECT_EQ(
        (std::vector<bool>{true, true, true, false}), test::mapped_pages(block.data(), kPages)
    );
}

TEST_F(BufferTest, IdleBlockIsTakenFirst) {
    const std::byte* before = nullptr;
    {
        const auto used = slice();
        before = used.data();
    }
    EXPECT_EQ(before, slice().data());
}

TEST_F(BufferTest, NoMoreThanKeepAreIdle) {
    {
        const Slice some[] = {slice(), slice(), slice()};
        EXPECT_EQ(0u, pool.idle());
    }
    EXPECT_EQ(2u, pool.idle());
    pool.trim();
    EXPECT_EQ(0u, pool.idle());
    EXPECT_EQ(kBlock, slice().size());
}

TEST_F(BufferTest, PartKeepsTheWholeAlive) {
    std::optional<Slice> whole = slice();
    const auto* data = whole->data();
    std::optional<Slice> part = whole->sub(100, 10);
    whole.reset();
    EXPECT_EQ(0u, pool.idle());
    EXPECT_EQ(data + 100, part->data());
    EXPECT_EQ(10u, part->size());
    part.reset();
    EXPECT_EQ(1u, pool.idle());
}

TEST_F(BufferTest, MovedSliceIsEmptyAndHoldsNothing) {
    auto from = slice();
    std::optional<Slice> to = std::move(from);
    EXPECT_TRUE(from.empty());
    EXPECT_EQ(nullptr, from.data());
    to.reset();
    EXPECT_EQ(1u, pool.idle());
}

TEST_F(BufferTest, AssignmentLetsGoOfWhatWasThere) {
    auto one = slice();
    auto two = slice();
    const auto* data = two.data();
    one = two;
    EXPECT_EQ(1u, pool.idle());
    EXPECT_EQ(data, one.data());
    const auto& same = one;
    one = same;
    EXPECT_EQ(data, one.data());
    two = {};
    EXPECT_EQ(1u, pool.idle());
}

TEST_F(BufferTest, EmptySliceHasEmptyParts) {
    const Slice nothing;
    EXPECT_TRUE(nothing.empty());
    EXPECT_TRUE(nothing.sub(0, 0).empty());
    EXPECT_TRUE(nothing.bytes().empty());
}

TEST_F(BufferTest, SharedMeansMoreThanOneHolder) {
    auto& block = pool.take();
    const Slice one(block, block.data(), 1);
    EXPECT_FALSE(block.is_shared());
    const auto two = one;
    EXPECT_TRUE(block.is_shared());
}

TEST_F(BufferTest, NeighboursCanBeJoined) {
    const auto whole = slice();
    const auto left = whole.sub(0, 10);
    const auto right = whole.sub(10, 20);
    EXPECT_TRUE(left.is_followed_by(right));
    EXPECT_FALSE(right.is_followed_by(left));
    EXPECT_FALSE(left.is_followed_by(slice()));
    const auto joined = left.joined(right);
    EXPECT_EQ(whole.data(), joined.data());
    EXPECT_EQ(30u, joined.size());
}

}  // namespace
}  // namespace uidnfs::core
