// SPDX-License-Identifier: Apache-2.0
// What a worker does not believe of the one before it.
#include "fs/arena_check.hpp"

#include "fs/salvage.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <functional>
#include <string>
#include <vector>

namespace uidnfs::fs {
namespace {

constexpr std::array<core::RegionSpec, 10> kSmall{
    InodeRecords::spec(kInodeRegion, 4),
    OpenRecords::spec(kOpenRegion, 4),
    CursorRecords::spec(kCursorRegion, 4),
    SillyRecords::spec(kSillyRegion, 4),
    ExtentRecords::spec(kExtentRegion, 4),
    CounterRecords::spec(kCounterRegion, 1),
    CredentialRecords::spec(kCredentialRegion, 4),
    WrittenRecords::spec(kWrittenRegion, 4),
    CookieRecords::spec(kCookieRegion, 4),
    core::SlotPool::spec(kSlotRegion, 4096, 2),
};

struct Records {
    CounterRecord counters{5, 5};
    CredentialRecord identity{1001, 1001, 1, 0, {5}};
    InodeRecord root{1, 100, 1, 0, 2, 8, {}};
    InodeRecord file{2, 101, 1, 0, 1, 8, {}};
    InodeRecord other{3, 102, 1, 0, 1, 8, {}};
    OpenRecord open{1, 2, 0, OpenKind::file, 2, 1, 0};
    OpenRecord listing{2, 1, 0, OpenKind::directory, 0, 0, 0};
    SillyRecord silly{2, 1, 1, 0, {'.', 'n', 'f', 's', '1'}};
    WrittenRecord written{2, 0, {'a'}};
    ExtentRecord first{2, 0, 100, 0, 1, ExtentState::dirty, 1};
    ExtentRecord second{3, 0, 100, 4096, 1, ExtentState::uncommitted, 0};
    std::uint64_t slots = 2;
};

core::Arena arena_of(const Records& records) {
    auto arena = *core::Arena::create(kSmall);
    CounterRecords(arena.region(kCounterRegion)).insert(records.counters);
    CredentialRecords(arena.region(kCredentialRegion)).insert(records.identity);
    InodeRecords inodes(arena.region(kInodeRegion));
    for (const auto& inode : {records.root, records.file, records.other}) inodes.insert(inode);
    OpenRecords opens(arena.region(kOpenRegion));
    for (const auto& open : {records.open, records.listing}) opens.insert(open);
    SillyRecords(arena.region(kSillyRegion)).insert(records.silly);
    WrittenRecords(arena.region(kWrittenRegion)).insert(records.written);
    ExtentRecords extents(arena.region(kExtentRegion));
    for (const auto& extent : {records.first, records.second}) extents.insert(extent);
    *arena.region(kSlotRegion).high_water = records.slots;
    return arena;
}

std::optional<std::string> damage_of(const Records& records) {
    return find_damage(arena_of(records), mapper::RootIdentity::refused);
}

TEST(ArenaCheck, what_a_worker_leaves_is_sound) {
    EXPECT_EQ(damage_of({}), std::nullopt);
    EXPECT_EQ(
        find_damage(*core::Arena::create(kSmall), mapper::RootIdentity::refused), std::nullopt
    );
}

TEST(ArenaCheck, what_cannot_be_is_named) {
    struct Case {
        std::function<void(Records&)> change;
        const char* words;
    };
    using R = Records;
    const Case cases[]{
        {[](R& r) { r.counters.next_inode = 0; }, "counters"},
        {[](R& r) { r.counters.next_open = ~0ull; }, "counters"},
        {[](R& r) { r.identity.group_count = 17; }, "17 groups"},
        {[](R& r) { r.identity.uid = mapper::kNoId; }, "nobody's"},
        {[](R& r) { r.identity.groups[0] = mapper::kNoId; }, "nobody's"},
        {[](R& r) { r.identity.uid = 0; }, "root"},
        {[](R& r) { r.file.id = 5; }, "inode 5 was never given out"},
        {[](R& r) { r.file.id = 3; }, "inode 3 is there twice"},
        {[](R& r) { r.file.type = 8; }, "no type"},
        {[](R& r) { r.file.handle_size = 129; }, "no file handle"},
        {[](R& r) { r.file.handle_size = 0; }, "no file handle"},
        {[](R& r) { r.file.lookups = ~0ull; }, "references"},
        {[](R& r) { r.open.id = 2; }, "open 2 is there twice"},
        {[](R& r) { r.open.id = 9; }, "open 9 was never given out"},
        {[](R& r) { r.open.inode = 4; }, "of an inode that is not there"},
        {[](R& r) { r.open.kind = OpenKind{3}; }, "of no kind"},
        {[](R& r) { r.open.kind = OpenKind::directory; }, "of another kind"},
        {[](R& r) { r.open.credential = 2; }, "nobody's"},
        {[](R& r) { r.open.owed = 0640; }, "owes no mode"},
        {[](R& r) { r.open.owed = kOwed | 010000; }, "owes no mode"},
        {[](R& r) { r.listing.owed = kOwed; }, "owes no mode"},
        {[](R& r) { r.silly.name[0] = 'x'; }, "no name"},
        {[](R& r) { r.silly.name.fill('a'); }, "no name"},
        {[](R& r) {
             r.silly.name = {'.', 'n', 'f', 's', '/'};
         },
         "path"},
        {[](R& r) { r.silly.parent = 2; }, "in no directory"},
        {[](R& r) { r.silly.inode = 4; }, "not there"},
        {[](R& r) { r.written.path.fill('a'); }, "without an end"},
        {[](R& r) { r.written.inode = 1; }, "no file"},
        {[](R& r) { r.first.inode = 1; }, "of no file"},
        {[](R& r) { r.first.order = 0; }, "no order"},
        {[](R& r) { r.first.credential = 7; }, "nobody's"},
        {[](R& r) { r.first.state = ExtentState{9}; }, "no state"},
        {[](R& r) { r.first.state = ExtentState::cut; }, "cut with bytes"},
        {[](R& r) { r.first.length = 0; }, "no bytes"},
        {[](R& r) { r.first.length = ~0ull; }, "no bytes"},
        {[](R& r) { r.first.offset = ~0ull; }, "beyond every file"},
        {[](R& r) { r.first.data = 4000; }, "outside of its memory"},
        {[](R& r) { r.first.data = 8192; }, "outside of its memory"},
        {[](R& r) { r.first.data = ~0ull - 10; }, "outside of its memory"},
        {[](R& r) { r.slots = 1; }, "outside of its memory"},
        {[](R& r) { r.slots = 3; }, "slots"},
        {[](R& r) { r.first.data = 4190; }, "inodes 3 and 2 have the same bytes"},
    };
    for (const auto& wrong : cases) {
        Records records;
        wrong.change(records);
        EXPECT_THAT(damage_of(records).value_or("nothing"), testing::HasSubstr(wrong.words));
    }
}

TEST(ArenaCheck, records_that_are_neither_free_nor_valid_are_named) {
    const auto arena = *core::Arena::create(kSmall);
    CounterRecords(arena.region(kCounterRegion)).insert({5, 5});
    const auto region = arena.region(kCursorRegion);
    *region.high_water = 1;
    *reinterpret_cast<std::uint32_t*>(region.base) = 2;
    EXPECT_EQ(
        find_damage(arena, mapper::RootIdentity::refused).value_or("nothing"),
        "cursor 0 is neither free nor valid"
    );
}

/// What may be kept of a mount whose state no worker goes on with.
class ArenaSurvey : public testing::Test {
protected:
    /// "2: 0+100" for each range of each file that is believed.
    static std::vector<std::string> kept(const Records& records) {
        const auto arena = arena_of(records);
        const auto found = survey(arena, mapper::RootIdentity::refused);
        EXPECT_EQ(found.damage, find_damage(arena, mapper::RootIdentity::refused));
        std::vector<std::string> out;
        for (const auto& file : unwritten_files(arena, found.sound)) {
            for (const auto& range : file.ranges) {
                out.push_back(fmt::format(
                    "{} {}: {}+{}", file.fileid, file.path, range.offset, range.bytes.size()
                ));
            }
        }
        return out;
    }
    static constexpr auto kFirst = "101 a: 0+100";
    static constexpr auto kSecond = "102 : 0+100";
};

TEST_F(ArenaSurvey, bytes_are_kept_whatever_else_is_damaged) {
    using R = Records;
    const std::function<void(R&)> changes[]{
        [](R&) {},
        [](R& r) { r.counters.next_inode = 0; },
        [](R& r) { r.root.lookups = ~0ull; },
        [](R& r) { r.open.inode = 4; },
        [](R& r) { r.listing.kind = OpenKind{3}; },
        [](R& r) { r.silly.name.fill('a'); },
    };
    for (const auto& change : changes) {
        Records records;
        change(records);
        EXPECT_THAT(kept(records), testing::ElementsAre(kFirst, kSecond));
    }
}

TEST_F(ArenaSurvey, what_is_damaged_itself_is_not_kept) {
    using R = Records;
    const std::function<void(R&)> changes[]{
        [](R& r) { r.first.inode = 1; },
        [](R& r) { r.first.order = 0; },
        [](R& r) { r.first.state = ExtentState{9}; },
        [](R& r) { r.first.length = ~0ull; },
        [](R& r) { r.first.offset = ~0ull; },
        [](R& r) { r.first.data = ~0ull - 10; },
        [](R& r) { r.first.credential = 7; },
        [](R& r) { r.identity.uid = 0; },
        [](R& r) { r.identity.group_count = 17; },
        [](R& r) { r.file.handle_size = 129; },
        [](R& r) { r.file.type = 8; },
        [](R& r) { r.file.id = 4; },
    };
    for (const auto& change : changes) {
        Records records;
        change(records);
        EXPECT_THAT(kept(records), testing::ElementsAre(kSecond));
    }
}

TEST_F(ArenaSurvey, what_may_be_either_files_is_neithers) {
    Records twice;
    twice.other.id = 2;
    EXPECT_THAT(kept(twice), testing::IsEmpty()) << "two inodes of one number";
    Records shared;
    shared.first.data = 4190;
    EXPECT_THAT(kept(shared), testing::IsEmpty()) << "the same bytes in two files";
}

TEST_F(ArenaSurvey, a_path_without_an_end_is_not_known) {
    Records records;
    records.written.path.fill('a');
    EXPECT_THAT(kept(records), testing::ElementsAre("101 : 0+100", kSecond));
}

TEST_F(ArenaSurvey, all_damage_is_counted) {
    Records records;
    EXPECT_EQ(survey(arena_of(records), mapper::RootIdentity::refused).more, 0u);
    records.counters.next_inode = 0;
    records.open.inode = 4;
    records.first.order = 0;
    const auto found = survey(arena_of(records), mapper::RootIdentity::refused);
    EXPECT_THAT(found.damage.value_or("nothing"), testing::HasSubstr("counters"));
    EXPECT_EQ(found.more, 2u);
}

TEST(ArenaCheck, refusals_say_what_to_do) {
    using testing::HasSubstr;
    EXPECT_THAT(explain_refusal(core::Error(EPROTONOSUPPORT)), HasSubstr("another version"));
    EXPECT_THAT(explain_refusal(core::Error(EPROTO)), HasSubstr("unmount it"));
    EXPECT_THAT(explain_refusal(core::Error(ENOMEM)), HasSubstr("cannot be mapped"));
}

}  // namespace
}  // namespace uidnfs::fs
