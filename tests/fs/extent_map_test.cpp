// SPDX-License-Identifier: Apache-2.0
// What of a file is sent next: against a plain list of what is dirty and what is under way.
#include "fs/extent_map.hpp"

#include "core/arena.hpp"
#include "core/slots.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

namespace {

using namespace uidnfs;
using namespace uidnfs::fs;

constexpr std::uint32_t kBlock = 16;
constexpr std::uint64_t kBlocks = 64;
constexpr std::uint32_t kLimit = 8 * kBlock;
constexpr std::array kRegions{
    ExtentRecords::spec(kExtentRegion, 512),
    core::SlotPool::spec(kSlotRegion, 4096, 2),
};

class ExtentMapTest : public testing::Test {
protected:
    ExtentMapTest()
        : arena(*core::Arena::create(kRegions)),
          slots(arena, arena.region(kSlotRegion)),
          records(arena.region(kExtentRegion)),
          slot(*slots.take()),
          keep(slot, slot.data(), slots.bytes()),
          map({records, arena.region(kSlotRegion).base}, 1) {}

    void write(std::uint64_t first, std::uint64_t blocks) {
        for (auto i = first; i < first + blocks; ++i) {
            // Every other slice, so that none is joined with its neighbour.
            const auto* from = slot.data() + 2 * kBlock * (i % kBlocks);
            ASSERT_EQ(
                map.insert(i * kBlock, core::Slice(slot, from, kBlock), {}, {}),
                ExtentMap::Inserted::yes
            );
        }
    }
    void answer(const ExtentMap::Batch& batch) {
        map.sent(batch, batch.length, ExtentMap::Kept::disk, {}, {});
    }
    std::optional<ExtentMap::Batch> next(ExtentMap::Send what) {
        return map.next_batch(kLimit, what);
    }

    core::Arena arena;
    core::SlotPool slots;
    ExtentRecords records;
    core::Slot& slot;
    core::Slice keep;
    ExtentMap map;
};

TEST_F(ExtentMapTest, what_fills_a_write_is_found_although_an_earlier_search_was_in_vain) {
    write(0, 7);
    write(20, 7);
    EXPECT_FALSE(next(ExtentMap::Send::full_only));
    write(27, 1);
    EXPECT_TRUE(map.seek_full_run(27 * kBlock, kLimit));
    const auto batch = next(ExtentMap::Send::full_only);
    ASSERT_TRUE(batch);
    EXPECT_EQ(batch->offset, 20 * kBlock);
    EXPECT_EQ(batch->length, kLimit);
    EXPECT_FALSE(next(ExtentMap::Send::full_only));
    EXPECT_TRUE(next(ExtentMap::Send::all));
}

TEST_F(ExtentMapTest, what_overwrites_a_write_under_way_goes_after_it) {
    write(0, 8);
    const auto first = next(ExtentMap::Send::all);
    ASSERT_TRUE(first);
    write(0, 8);
    EXPECT_FALSE(next(ExtentMap::Send::full_only));
    EXPECT_FALSE(next(ExtentMap::Send::all));
    answer(*first);
    EXPECT_TRUE(map.seek_full_run(first->offset, kLimit));
    const auto second = next(ExtentMap::Send::full_only);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->length, kLimit);
    answer(*second);
    EXPECT_TRUE(map.empty());
}

TEST_F(ExtentMapTest, whatever_the_order_all_that_is_dirty_is_sent_and_nothing_twice) {
    enum class Block : std::uint8_t { clean, dirty, under_way, both };
    std::mt19937 random(7);
    std::array<Block, kBlocks> blocks{};
    std::vector<ExtentMap::Batch> under_way;
    const auto is_dirty = [](Block block) { return block == Block::dirty; };
    for (int step = 0; step < 20000; ++step) {
        const auto what = random() % 8;
        if (what < 4) {
            const auto first = random() % (kBlocks - 10);
            const auto count = 1 + random() % 10;
            write(first, count);
            for (auto i = first; i < first + count; ++i) {
                const bool sent = blocks[i] == Block::under_way || blocks[i] == Block::both;
                blocks[i] = sent ? Block::both : Block::dirty;
            }
        } else if (what < 6 && !under_way.empty()) {
            const auto at = static_cast<std::ptrdiff_t>(random() % under_way.size());
            const auto batch = under_way[static_cast<std::size_t>(at)];
            under_way.erase(under_way.begin() + at);
            answer(batch);
            for (auto i = batch.offset / kBlock; i < (batch.offset + batch.length) / kBlock; ++i) {
                blocks[i] = blocks[i] == Block::both ? Block::dirty : Block::clean;
            }
        } else {
            const auto batch = next(ExtentMap::Send::all);
            ASSERT_EQ(batch.has_value(), std::any_of(blocks.begin(), blocks.end(), is_dirty));
            if (!batch) continue;
            ASSERT_LE(batch->length, kLimit);
            for (auto i = batch->offset / kBlock; i < (batch->offset + batch->length) / kBlock;
                 ++i) {
                ASSERT_EQ(blocks[i], Block::dirty) << "block " << i << " in step " << step;
                blocks[i] = Block::under_way;
            }
            under_way.push_back(*batch);
        }
    }
}

}  // namespace
