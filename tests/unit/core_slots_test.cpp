// SPDX-License-Identifier: Apache-2.0
// SlotPool: the order of slots, what is given back, and what a second worker may give back.
#include "core/slots.hpp"

#include "core/fd.hpp"
#include "support/mapped_pages.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <optional>
#include <vector>

namespace uidnfs::core {
namespace {

constexpr std::uint32_t kRegion = 3;
constexpr std::uint32_t kBytes = 5000;  // rounded up to two pages

class SlotsTest : public testing::Test {
protected:
    std::array<RegionSpec, 1> specs{SlotPool::spec(kRegion, kBytes, 3)};
    Arena arena = *Arena::create(specs);
    SlotPool pool{arena, arena.region(kRegion)};

    static Slice whole(Slot& slot) { return Slice(slot, slot.data(), 1); }
};

TEST_F(SlotsTest, SlotsAreWholePagesSideBySide) {
    EXPECT_EQ(8192u, pool.bytes());
    EXPECT_EQ(3u, pool.capacity());
    EXPECT_EQ(3u, pool.available());
    EXPECT_EQ(pool.at(0) + 8192, pool.at(1));
}

std::vector<bool> mapped_pages(Slot& slot) { return test::mapped_pages(slot.data(), kBytes); }

TEST_F(SlotsTest, AsMuchAsIsAskedForIsMappedBeforeItIsUsed) {
    auto& slot = *pool.take();
    {
        const auto use = whole(slot);
        EXPECT_EQ(mapped_pages(slot), (std::vector<bool>{false, false}));
        pool.map(slot, 100);
        EXPECT_EQ(mapped_pages(slot), (std::vector<bool>{true, false}));
        pool.map(slot, 1 << 30);
        EXPECT_EQ(mapped_pages(slot), (std::vector<bool>{true, true}));
    }
    pool.trim();
    EXPECT_EQ(mapped_pages(slot), (std::vector<bool>{false, false}));
    pool.map(slot, 100);
    EXPECT_EQ(mapped_pages(slot), (std::vector<bool>{true, false}));
}

TEST_F(SlotsTest, MoreIsMappedAheadWhereAnyIsMissing) {
    auto& slot = *pool.take();
    const auto use = whole(slot);
    pool.map(slot, 100);
    EXPECT_FALSE(pool.map(slot, 4096, 1));
    EXPECT_EQ(mapped_pages(slot), (std::vector<bool>{true, false}));
    auto& other = *pool.take();
    const auto use_too = whole(other);
    EXPECT_TRUE(pool.map(other, 4096, 1));
    EXPECT_EQ(mapped_pages(other), (std::vector<bool>{true, true}));
    EXPECT_FALSE(pool.map(other, 8192, 1 << 20)) << "no further than the slot";
}

TEST_F(SlotsTest, ThereAreOnlySoMany) {
    const Slice used[] = {whole(*pool.take()), whole(*pool.take()), whole(*pool.take())};
    EXPECT_EQ(0u, pool.available());
    EXPECT_EQ(nullptr, pool.take());
    EXPECT_NE(used[0].data(), used[1].data());
    EXPECT_NE(used[1].data(), used[2].data());
}

TEST_F(SlotsTest, TheLastOneUsedIsTakenFirst) {
    std::optional<Slice> first = whole(*pool.take());
    std::optional<Slice> second = whole(*pool.take());
    const auto* data = first->data();
    second.reset();
    first.reset();
    auto* slot = pool.take();
    EXPECT_EQ(data, slot->data());
    const auto hold = whole(*slot);
    EXPECT_EQ(2u, pool.available());
}

TEST_F(SlotsTest, TrimClearsFreeSlotsOnly) {
    auto* busy = pool.take();
    const auto hold = whole(*busy);
    auto* idle = pool.take();
    std::memset(busy->data(), 1, pool.bytes());
    std::memset(idle->data(), 1, pool.bytes());
    const auto index = idle->index();
    whole(*idle);
    pool.trim();
    EXPECT_EQ(std::byte{1}, busy->data()[0]);
    EXPECT_EQ(std::byte{0}, pool.at(index)[0]);
}

TEST_F(SlotsTest, NextWorkerHasAllSlotsAndCanClearThem) {
    auto* slot = pool.take();
    std::memset(slot->data(), 1, pool.bytes());
    const auto hold = whole(*slot);

    const auto again = Arena::attach(Fd(::fcntl(arena.fd(), F_DUPFD_CLOEXEC, 0)), specs);
    ASSERT_TRUE(again);
    SlotPool next(*again, again->region(kRegion));
    EXPECT_EQ(3u, next.available());
    EXPECT_EQ(std::byte{1}, next.at(0)[0]);
    next.trim();
    EXPECT_EQ(std::byte{0}, next.at(0)[0]);
    EXPECT_EQ(0u, next.take()->index());
}

}  // namespace
}  // namespace uidnfs::core
