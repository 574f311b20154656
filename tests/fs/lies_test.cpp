// SPDX-License-Identifier: Apache-2.0
// What is not believed: listings that lead back to where they were, objects that change their type.
#include "core/arena.hpp"
#include "fs/attr_cache.hpp"
#include "fs/dir_stream.hpp"

#include <gtest/gtest.h>

#include <array>

namespace uidnfs::test {
namespace {

class Rings : public testing::Test {
protected:
    static constexpr std::array<core::RegionSpec, 2> kRegions{
        fs::CursorRecords::spec(fs::kCursorRegion, 16),
        fs::CookieRecords::spec(fs::kCookieRegion, 1u << 21)};

    Rings()
        : arena(core::Arena::create(kRegions)),
          cursors(arena->region(fs::kCursorRegion)),
          cookies(arena->region(fs::kCookieRegion)),
          stream({cursors, cookies}, 1) {}

    /// A page that begins after `from` and leads to `to`.
    fs::DirStream::Way read(std::uint64_t from, std::uint64_t to) {
        nfs::DirPage page;
        page.entries.resize(1);
        page.entries.front().name = "entry";
        page.entries.front().cookie = to;
        return stream.load(from, std::move(page), {});
    }

    core::Result<core::Arena> arena;
    fs::CursorRecords cursors;
    fs::CookieRecords cookies;
    fs::DirStream stream;
};

TEST_F(Rings, of_every_length_and_after_every_way_to_them_are_found) {
    for (const std::uint64_t way : {0, 1, 5, 100}) {
        for (const std::uint64_t length : {1, 2, 3, 64, 1000}) {
            stream.restart();
            std::uint64_t at = 0;
            std::uint64_t pages = 0;
            auto found = fs::DirStream::Way::on;
            while (found == fs::DirStream::Way::on && pages < 8 * (way + length) + 8) {
                const auto next = at + 1 < way + length ? at + 1 : way;
                found = read(at, next);
                at = next;
                ++pages;
            }
            EXPECT_EQ(found, fs::DirStream::Way::round) << way << " then " << length;
            EXPECT_GE(pages, length);
        }
    }
}

TEST_F(Rings, a_long_directory_is_none) {
    for (std::uint64_t at = 0; at < 100'000; ++at)
        ASSERT_EQ(read(at, at + 1), fs::DirStream::Way::on);
}

TEST_F(Rings, an_application_that_goes_back_makes_none) {
    for (int times = 0; times < 100; ++times) {
        for (std::uint64_t at = 3; at < 6; ++at)
            EXPECT_EQ(read(at, at + 1), fs::DirStream::Way::on);
    }
}

TEST_F(Rings, where_not_all_is_remembered_nothing_is_looked_for) {
    for (std::uint64_t at = 0; at < fs::DirStream::kRemembered; ++at) {
        ASSERT_TRUE(stream.can_begin_again());
        (void)read(at, at + 1);
        ASSERT_EQ(stream.seek(at), fs::DirStream::Position::here);
        stream.advance();
    }
    EXPECT_FALSE(stream.can_begin_again());
    stream.taken_up_to(fs::DirStream::kRemembered / 2);
    EXPECT_FALSE(stream.can_begin_again());
    stream.restart();
    EXPECT_TRUE(stream.can_begin_again());
}

TEST_F(Rings, of_large_cookies_the_last_million_is_remembered) {
    constexpr std::uint64_t kLarge = std::uint64_t{1} << 63;
    const auto first = stream.to_offset(kLarge);
    EXPECT_EQ(stream.to_cookie(first), kLarge);
    std::uint64_t offset = 0;
    for (std::uint64_t i = 1; i <= fs::DirStream::kRemembered; ++i)
        offset = stream.to_offset(kLarge + i);
    EXPECT_EQ(stream.to_cookie(first), std::nullopt);
    EXPECT_EQ(stream.to_cookie(first + 1), kLarge + 1);
    EXPECT_EQ(stream.to_cookie(offset), kLarge + fs::DirStream::kRemembered);
    EXPECT_EQ(stream.to_offset(kLarge + 1), first + 1);
    std::size_t recorded = 0;
    for (fs::CookieRecords::Index i = 0; i < cookies.high_water(); ++i)
        recorded += cookies.is_valid(i);
    EXPECT_EQ(recorded, fs::DirStream::kRemembered);
}

TEST(Types, attributes_of_another_type_are_not_believed) {
    fs::AttrCache cache;
    const fs::TimerRange range{std::chrono::seconds(3), std::chrono::seconds(60)};
    const auto now = core::SteadyTime() + std::chrono::hours(1);
    nfs::Attr file;
    file.type = nfs::FileType::regular;
    file.size = 7;
    auto directory = file;
    directory.type = nfs::FileType::directory;
    directory.ctime = {1000, 0};
    cache.learn(file, fs::AttrCache::token(), now, range);
    ASSERT_TRUE(cache.is_fresh(now));
    EXPECT_EQ(cache.learn(directory, fs::AttrCache::token(), now, range), fs::Change::none);
    EXPECT_EQ(cache.attr().type, nfs::FileType::regular);
    EXPECT_FALSE(cache.is_fresh(now));
    cache.begin_change();
    cache.end_change({std::nullopt, directory}, now, range);
    EXPECT_EQ(cache.attr().type, nfs::FileType::regular);
    EXPECT_FALSE(cache.is_fresh(now));
}

}  // namespace
}  // namespace uidnfs::test
