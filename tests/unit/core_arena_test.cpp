// SPDX-License-Identifier: Apache-2.0
// Arena and Table: what the next worker finds, and what it refuses to believe.
#include "core/arena.hpp"
#include "support/mapped_pages.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace uidnfs::core {
namespace {

struct Record {
    std::uint64_t number;
    std::uint32_t twice;
};

constexpr std::uint32_t kRecords = 7;
constexpr std::uint32_t kBytes = 9;
constexpr std::uint64_t kCapacity = 4;
constexpr std::uint64_t kPage = 4096;

using Records = Table<Record>;
using Specs = std::array<RegionSpec, 2>;

Specs specs() { return {Records::spec(kRecords, kCapacity), RegionSpec{kBytes, 4096, 3}}; }

Fd copy_of(int fd) { return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

/// Offsets in the first page, which is part of the contract between two builds of the worker.
enum Offset : off_t {
    kMagic = 0,
    kVersion = 8,
    kRegions = 12,
    kSize = 16,
    kFirstEntry = 24,
    kEntryStride = kFirstEntry + 4,
    kEntryOffset = kFirstEntry + 16,
    kEntryHighWater = kFirstEntry + 24,
};

template <class T>
void overwrite(int fd, off_t offset, T value) {
    ASSERT_EQ(static_cast<ssize_t>(sizeof value), ::pwrite(fd, &value, sizeof value, offset));
}

class ArenaTest : public testing::Test {
protected:
    Arena arena = *Arena::create(specs());

    int attach_error() { return attach_error(specs()); }
    int attach_error(const Specs& wanted) {
        const auto again = Arena::attach(copy_of(arena.fd()), wanted);
        return again ? 0 : again.error().code();
    }
};

TEST_F(ArenaTest, RegionsAreEmptyPageAlignedAndApart) {
    const auto records = arena.region(kRecords);
    const auto bytes = arena.region(kBytes);
    EXPECT_EQ(0u, *records.high_water);
    EXPECT_EQ(kCapacity, records.capacity);
    EXPECT_EQ(0u, records.offset % kPage);
    EXPECT_EQ(0u, bytes.offset % kPage);
    EXPECT_GE(bytes.offset, records.offset + records.capacity * records.stride);
    EXPECT_EQ(bytes.base - records.base, static_cast<long>(bytes.offset - records.offset));
    EXPECT_EQ(std::byte{0}, bytes.base[3 * 4096 - 1]);
}

TEST_F(ArenaTest, IsSealedAndClosedOnExec) {
    const int seals = ::fcntl(arena.fd(), F_GET_SEALS);
    EXPECT_EQ(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, seals);
    EXPECT_NE(0, ::ftruncate(arena.fd(), 4096));
    EXPECT_EQ(EPERM, errno);
    EXPECT_EQ(FD_CLOEXEC, ::fcntl(arena.fd(), F_GETFD));
}

TEST_F(ArenaTest, TooManyRegionsAreRefused) {
    const std::vector<RegionSpec> many(Arena::kMaxRegions + 1, RegionSpec{1, 8, 1});
    EXPECT_EQ(EINVAL, Arena::create(many).error().code());
    EXPECT_EQ(EINVAL, Arena::attach(copy_of(arena.fd()), many).error().code());
}

TEST_F(ArenaTest, AttachSeesWhatWasWritten) {
    Records records(arena.region(kRecords));
    const auto index = records.insert({17, 34});
    arena.region(kBytes).base[5] = std::byte{42};

    const auto again = Arena::attach(copy_of(arena.fd()), specs());
    ASSERT_TRUE(again);
    Records found(again->region(kRecords));
    EXPECT_TRUE(found.is_valid(index));
    EXPECT_EQ(17u, found[index].number);
    EXPECT_EQ(1u, found.size());
    EXPECT_EQ(std::byte{42}, again->region(kBytes).base[5]);
}

TEST_F(ArenaTest, AttachRefusesOtherRegions) {
    auto other = specs();
    other[0].capacity += 1;
    EXPECT_EQ(EINVAL, attach_error(other));
    other = specs();
    other[1].id += 1;
    EXPECT_EQ(EINVAL, attach_error(other));
    const std::array<RegionSpec, 1> fewer{specs()[0]};
    EXPECT_EQ(EINVAL, Arena::attach(copy_of(arena.fd()), fewer).error().code());
}

TEST_F(ArenaTest, AttachRefusesAnotherMagicOrVersion) {
    for (const auto other : {Arena::kVersion + 1, Arena::kVersion - 1}) {
        overwrite<std::uint32_t>(arena.fd(), kVersion, other);
        EXPECT_EQ(EPROTONOSUPPORT, attach_error());
    }
    overwrite<std::uint32_t>(arena.fd(), kVersion, Arena::kVersion);
    EXPECT_EQ(0, attach_error());
    overwrite<std::uint64_t>(arena.fd(), kMagic, 1);
    EXPECT_EQ(EPROTO, attach_error());
}

TEST_F(ArenaTest, AttachRefusesAHeaderThatLies) {
    const auto region = arena.region(kRecords);
    struct Lie {
        off_t offset;
        std::uint64_t value;
        int error;
    };
    for (const auto& lie :
         {Lie{kSize, 1ull << 40, EPROTO},
          Lie{kEntryOffset, region.offset + 8, EINVAL},
          Lie{kEntryOffset, 1ull << 60, EINVAL},
          Lie{kEntryHighWater, kCapacity + 1, EPROTO},
          Lie{kEntryHighWater, ~0ull, EPROTO}}) {
        std::uint64_t truth = 0;
        ASSERT_EQ(8, ::pread(arena.fd(), &truth, sizeof truth, lie.offset));
        overwrite(arena.fd(), lie.offset, lie.value);
        EXPECT_EQ(lie.error, attach_error()) << lie.offset << " " << lie.value;
        overwrite(arena.fd(), lie.offset, truth);
        EXPECT_EQ(0, attach_error());
    }
    overwrite<std::uint32_t>(arena.fd(), kRegions, Arena::kMaxRegions + 1);
    EXPECT_EQ(EPROTO, attach_error());
    overwrite<std::uint32_t>(arena.fd(), kRegions, 2);
    overwrite<std::uint32_t>(arena.fd(), kEntryStride, 4);
    EXPECT_EQ(EINVAL, attach_error());
}

TEST_F(ArenaTest, AttachRefusesWhatIsNoArena) {
    EXPECT_EQ(EBADF, Arena::attach(Fd(), specs()).error().code());
    Fd empty(::memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(EPROTO, Arena::attach(copy_of(empty.get()), specs()).error().code());
    ASSERT_EQ(0, ::ftruncate(empty.get(), 1 << 20));
    ASSERT_EQ(0, ::fcntl(empty.get(), F_ADD_SEALS, F_SEAL_SHRINK));
    EXPECT_EQ(EPROTO, Arena::attach(copy_of(empty.get()), specs()).error().code());
}

TEST_F(ArenaTest, AttachRefusesMemoryThatCouldShrink) {
    std::vector<char> content(static_cast<std::size_t>(::lseek(arena.fd(), 0, SEEK_END)));
    const auto size = static_cast<ssize_t>(content.size());
    ASSERT_EQ(size, ::pread(arena.fd(), content.data(), content.size(), 0));
    Fd open(::memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(size, ::pwrite(open.get(), content.data(), content.size(), 0));
    EXPECT_EQ(EPROTO, Arena::attach(copy_of(open.get()), specs()).error().code());
    ASSERT_EQ(0, ::fcntl(open.get(), F_ADD_SEALS, F_SEAL_SHRINK));
    EXPECT_TRUE(Arena::attach(copy_of(open.get()), specs()));
}

TEST_F(ArenaTest, DiscardedPagesReadAsZeroAndOthersStay) {
    const auto bytes = arena.region(kBytes);
    std::memset(bytes.base, 0x5a, 3 * kPage);
    arena.discard(bytes.offset + kPage, kPage);
    EXPECT_EQ(std::byte{0x5a}, bytes.base[kPage - 1]);
    EXPECT_EQ(std::byte{0}, bytes.base[kPage]);
    EXPECT_EQ(std::byte{0}, bytes.base[2 * kPage - 1]);
    EXPECT_EQ(std::byte{0x5a}, bytes.base[2 * kPage]);
}

TEST_F(ArenaTest, MovedArenaKeepsItsMapping) {
    const auto before = arena.region(kBytes).base;
    const Arena moved(std::move(arena));
    EXPECT_EQ(before, moved.region(kBytes).base);
    moved.region(kBytes).base[0] = std::byte{1};
}

class TableTest : public ArenaTest {
protected:
    Records records{arena.region(kRecords)};

    std::uint32_t& commit_word(Records::Index index) {
        const auto region = arena.region(kRecords);
        return reinterpret_cast<Records::Cell*>(region.base + std::uint64_t{index} * region.stride)
            ->commit;
    }
    Records reopened() { return Records(arena.region(kRecords)); }
};

TEST_F(TableTest, FullTableSaysSo) {
    for (std::uint64_t i = 0; i < kCapacity; ++i) EXPECT_EQ(i, records.insert({i, 0}));
    EXPECT_EQ(Records::kNone, records.insert({9, 0}));
    EXPECT_EQ(kCapacity, records.size());
    EXPECT_EQ(kCapacity, records.high_water());
}

TEST_F(TableTest, ErasedRecordIsUsedAgainBeforeTheHighWaterRises) {
    records.insert({1, 0});
    const auto second = records.insert({2, 0});
    records.erase(second);
    EXPECT_FALSE(records.is_valid(second));
    EXPECT_EQ(1u, records.size());
    EXPECT_EQ(second, records.insert({3, 0}));
    EXPECT_EQ(2u, records.high_water());
    EXPECT_EQ(3u, records[second].number);
}

TEST_F(TableTest, NextWorkerFindsTheFreeOnes) {
    for (std::uint64_t i = 0; i < 3; ++i) records.insert({i, 0});
    records.erase(1);
    auto again = reopened();
    EXPECT_EQ(2u, again.size());
    EXPECT_FALSE(again.is_valid(1));
    EXPECT_EQ(1u, again.insert({5, 0}));
    EXPECT_EQ(3u, again.insert({6, 0}));
}

class LargeTableTest : public testing::Test {
protected:
    static constexpr std::uint64_t kMany = 20'000;

    LargeTableTest() {
        for (std::uint64_t i = 0; i < kMany; ++i)
            records.insert({i, static_cast<std::uint32_t>(2 * i)});
        full = memory();
    }
    void erase(Records::Index from, Records::Index to) {
        for (auto i = from; i < to; ++i) records.erase(i);
    }
    std::uint64_t memory() const {
        struct stat st {};
        return ::fstat(arena.fd(), &st) == 0 ? static_cast<std::uint64_t>(st.st_blocks) * 512 : 0;
    }
    void expect_kept(const Records& table, Records::Index from, Records::Index to) {
        for (auto i = from; i < to; ++i) {
            ASSERT_TRUE(table.is_valid(i)) << i;
            ASSERT_EQ(2u * i, table[i].twice) << i;
        }
    }

    static constexpr std::array<RegionSpec, 1> kRegion{Records::spec(kRecords, kMany)};
    Arena arena = *Arena::create(kRegion);
    Records records{arena.region(kRecords)};
    std::uint64_t full = 0;  ///< bytes
};

TEST(TableMemory, IsMappedAheadOfItsRecordsAndGivenBackWithThem) {
    constexpr std::array<RegionSpec, 1> kOne{Records::spec(kRecords, 100'000)};
    const Arena arena = *Arena::create(kOne);
    const auto region = arena.region(kRecords);
    Records records(region);
    const auto ahead = [&] {  // pages behind the one of the last record
        const auto used = std::uint64_t{records.high_water()} * region.stride;
        const auto mapped = test::mapped_pages(region.base + used, 128u << 10);
        return std::ranges::count(mapped, true) - 1;
    };
    records.insert({0, 0});
    EXPECT_EQ(0, ahead()) << "of one that may stay the only one";
    for (std::uint64_t i = 1; i * region.stride < (70u << 10); ++i) records.insert({i, 0});
    EXPECT_GT(ahead(), 8);
    EXPECT_LE(ahead(), 16);
    for (auto i = records.high_water(); i-- > 0;) records.erase(i);
    records.trim(arena);
    EXPECT_EQ(-1, ahead());
    EXPECT_EQ(0u, records.insert({7, 7}));
    EXPECT_EQ(7u, records[0].number);
}

TEST_F(LargeTableTest, TrimmedToTheHighestThatIsUsed) {
    erase(1'000, kMany);
    records.trim(arena);
    EXPECT_LT(memory(), full / 10);
    EXPECT_EQ(1'000u, records.high_water());
    EXPECT_EQ(1'000u, records.size());
    expect_kept(records, 0, 1'000);
    EXPECT_EQ(1'000u, records.insert({7, 14}));
    EXPECT_EQ(1'001u, Records(arena.region(kRecords)).size());
}

TEST_F(LargeTableTest, TrimmedInTheMiddle) {
    erase(1'000, kMany - 1);
    records.trim(arena);
    EXPECT_LT(memory(), full / 10);
    EXPECT_EQ(kMany, records.high_water());
    expect_kept(records, 0, 1'000);
    expect_kept(records, kMany - 1, kMany);
    EXPECT_EQ(1'000u, records.insert({1'000, 2'000})) << "the lowest is used first";
    const Records next(arena.region(kRecords));
    EXPECT_EQ(1'002u, next.size());
    expect_kept(next, 0, 1'001);
}

TEST_F(LargeTableTest, TrimmedWhereNothingIsFree) {
    records.trim(arena);
    EXPECT_EQ(full, memory());
    expect_kept(records, 0, kMany);
    EXPECT_EQ(Records::kNone, records.insert({1, 2}));
}

TEST_F(TableTest, OneMemberChangesAndTheRecordStaysValid) {
    const auto index = records.insert({1, 2});
    records.set(index, &Record::number, 100);
    EXPECT_TRUE(records.is_valid(index));
    EXPECT_EQ(100u, records[index].number);
    EXPECT_EQ(2u, records[index].twice);
    EXPECT_EQ(100u, reopened()[index].number);
}

TEST_F(TableTest, RecordWhoseWriterDiedBeforeItWasValidIsFree) {
    const auto index = records.insert({1, 2});
    commit_word(index) = Records::kFree;  // as it is until its content is there
    auto again = reopened();
    EXPECT_EQ(0u, again.size());
    EXPECT_EQ(index, again.insert({3, 6}));
}

}  // namespace
}  // namespace uidnfs::core
