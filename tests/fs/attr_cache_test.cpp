// SPDX-License-Identifier: Apache-2.0
// Which of several replies tells the latest attributes, where the server's clock does not say.
#include "fs/attr_cache.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>

namespace uidnfs::test {
namespace {

using std::chrono::seconds;

/// Two WRITEs are under way together: the first one leaves the file with 100 bytes, the second
/// one with 200, in one tick of the server's clock.
class TwoWrites : public testing::Test {
protected:
    TwoWrites() {
        cache.learn(of_size(50), fs::AttrCache::kUnordered, now, kTimers);
        before = fs::AttrCache::token();
        cache.begin_change();
        cache.begin_change();
    }

    static nfs::Attr of_size(std::uint64_t size) {
        nfs::Attr attr;
        attr.type = nfs::FileType::regular;
        attr.size = size;
        attr.mtime = attr.ctime = {1000 + static_cast<std::int64_t>(size > 50), 0};
        return attr;
    }
    void end_write(std::optional<std::uint64_t> size) {
        nfs::Wcc wcc;
        if (size) wcc.after = of_size(*size);
        cache.end_change(wcc, now, kTimers);
    }

    static constexpr fs::TimerRange kTimers{seconds(3), seconds(60)};
    const core::SteadyTime now{seconds(100)};
    fs::AttrCache cache;
    fs::AttrCache::Token before = 0;
};

TEST_F(TwoWrites, a_reply_that_agrees_with_an_older_one_settles_nothing) {
    cache.begin_change();  // a third one, which changes no size
    end_write(200);
    end_write(100);
    end_write(100);
    EXPECT_FALSE(cache.is_fresh(now));
    EXPECT_TRUE(cache.is_doubted());
}

TEST_F(TwoWrites, a_reply_without_attributes_may_be_the_latest) {
    end_write(std::nullopt);
    end_write(100);
    EXPECT_FALSE(cache.is_fresh(now));
}

TEST_F(TwoWrites, only_what_is_asked_for_afterwards_settles_it) {
    end_write(200);
    end_write(100);
    cache.learn(of_size(100), before, now, kTimers);
    EXPECT_FALSE(cache.is_fresh(now));
    cache.learn(of_size(100), fs::AttrCache::kUnordered, now, kTimers);
    EXPECT_FALSE(cache.is_fresh(now));
    cache.learn(of_size(200), fs::AttrCache::token(), now, kTimers);
    EXPECT_TRUE(cache.is_fresh(now));
    EXPECT_FALSE(cache.is_doubted());
    EXPECT_EQ(cache.attr().size, 200u);
}

TEST_F(TwoWrites, an_answer_is_not_lost_because_an_earlier_question_is_answered_too) {
    end_write(200);
    const auto between = fs::AttrCache::token();
    end_write(100);
    const auto afterwards = fs::AttrCache::token();
    cache.learn(of_size(200), between, now, kTimers);
    EXPECT_FALSE(cache.is_fresh(now));
    cache.learn(of_size(200), afterwards, now, kTimers);
    EXPECT_TRUE(cache.is_fresh(now));
    EXPECT_EQ(cache.attr().size, 200u);
}

TEST_F(TwoWrites, a_question_from_before_a_third_one_settles_nothing) {
    end_write(200);
    end_write(100);
    const auto asked = fs::AttrCache::token();
    cache.begin_change();
    cache.begin_change();
    auto later = of_size(300);
    later.ctime.seconds += 1;
    cache.end_change(nfs::Wcc{{}, later}, now, kTimers);
    auto earlier = later;
    earlier.size = 200;
    cache.learn(earlier, asked, now, kTimers);
    EXPECT_FALSE(cache.is_fresh(now));
    EXPECT_EQ(cache.attr().size, 300u);
}

TEST_F(TwoWrites, one_after_the_other_are_in_order) {
    end_write(200);
    end_write(100);
    cache.begin_change();
    end_write(300);
    EXPECT_TRUE(cache.is_fresh(now));
    EXPECT_FALSE(cache.is_doubted());
}

/// Somebody asks while WRITEs are under way; times are of the server, in seconds after the first one.
class Glimpse : public testing::Test {
protected:
    Glimpse() { cache.learn(at(0), fs::AttrCache::kUnordered, now, kTimers); }

    nfs::Attr at(std::int64_t time) const {
        nfs::Attr attr;
        attr.type = type;
        attr.size = 100 + static_cast<std::uint64_t>(time);
        attr.mtime = attr.ctime = {1000 + time, 0};
        return attr;
    }
    fs::Change ask(std::int64_t time) {
        return cache.learn(at(time), fs::AttrCache::token(), now, kTimers);
    }
    fs::Change end_write(std::int64_t before, std::int64_t after) {
        return cache.end_change({fs::stamp_of(at(before)), at(after)}, now, kTimers);
    }

    static constexpr fs::TimerRange kTimers{seconds(3), seconds(60)};
    const core::SteadyTime now{seconds(100)};
    nfs::FileType type = nfs::FileType::regular;
    fs::AttrCache cache;
};

TEST_F(Glimpse, between_two_writes_may_be_ours) {
    cache.begin_change();
    cache.begin_change();
    EXPECT_EQ(ask(1), fs::Change::none);
    EXPECT_EQ(end_write(0, 2), fs::Change::none);
    EXPECT_EQ(end_write(0, 2), fs::Change::unknown);
}

TEST_F(Glimpse, that_is_told_by_a_reply_is_ours) {
    cache.begin_change();
    cache.begin_change();
    EXPECT_EQ(ask(1), fs::Change::none);
    EXPECT_EQ(end_write(0, 1), fs::Change::none);
    EXPECT_EQ(end_write(1, 2), fs::Change::own);
}

TEST_F(Glimpse, later_than_all_that_is_ours_is_foreign) {
    cache.begin_change();
    EXPECT_EQ(ask(2), fs::Change::none);
    EXPECT_EQ(end_write(0, 1), fs::Change::foreign);
}

TEST_F(Glimpse, that_a_write_found_before_it_is_foreign) {
    cache.begin_change();
    EXPECT_EQ(ask(1), fs::Change::none);
    EXPECT_EQ(end_write(1, 2), fs::Change::foreign);
}

TEST_F(Glimpse, of_a_directory_is_foreign) {
    cache = {};
    type = nfs::FileType::directory;
    ask(0);
    cache.begin_change();
    EXPECT_EQ(ask(1), fs::Change::none);
    EXPECT_EQ(end_write(0, 2), fs::Change::foreign);
}

TEST_F(Glimpse, is_forgotten_with_the_verdict) {
    cache.begin_change();
    ask(1);
    end_write(0, 2);
    cache.begin_change();
    EXPECT_EQ(end_write(2, 3), fs::Change::own);
}

/// Everything happens in one tick of the server's clock.
class OneTick : public testing::Test {
protected:
    OneTick() {
        attr.type = nfs::FileType::regular;
        attr.mode = 0644;
        attr.mtime = attr.ctime = {1000, 0};
        cache.learn(attr, fs::AttrCache::kUnordered, now, kTimers);
    }
    static constexpr fs::TimerRange kTimers{seconds(3), seconds(60)};
    const core::SteadyTime now{seconds(100)};
    nfs::Attr attr;
    fs::AttrCache cache;
};

TEST_F(OneTick, an_old_mode_comes_after_the_new_one) {
    const auto before = fs::AttrCache::token();
    cache.begin_change();
    auto changed = attr;
    changed.mode = 0600;
    cache.end_change({std::nullopt, changed}, now, kTimers);
    cache.learn(attr, before, now, kTimers);
    EXPECT_EQ(cache.attr().mode, 0600u);
    EXPECT_FALSE(cache.is_fresh(now));
    cache.learn(changed, fs::AttrCache::token(), now, kTimers);
    EXPECT_TRUE(cache.is_fresh(now));
}

TEST_F(OneTick, what_was_asked_for_before_a_name_went_settles_nothing) {
    const auto before = fs::AttrCache::token();
    cache.expect_ctime_change();
    cache.learn(attr, before, now, kTimers);
    EXPECT_FALSE(cache.is_fresh(now));
    cache.learn(attr, fs::AttrCache::token(), now, kTimers);
    EXPECT_TRUE(cache.is_fresh(now));
}

TEST_F(OneTick, nor_does_a_change_that_began_before_it) {
    cache.begin_change();
    cache.expect_ctime_change();
    cache.end_change({std::nullopt, attr}, now, kTimers);
    EXPECT_FALSE(cache.is_fresh(now));
    EXPECT_TRUE(cache.is_doubted());
}

}  // namespace
}  // namespace uidnfs::test
