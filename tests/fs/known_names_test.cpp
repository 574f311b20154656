// SPDX-License-Identifier: Apache-2.0
// What listings tell about names, and what our own calls change in it.
#include "fs/known_names.hpp"

#include <gtest/gtest.h>

#include <initializer_list>

namespace uidnfs::fs {
namespace {

using Answer = KnownNames::Found::Answer;
using More = nfs::DirPage::More;

class KnownNamesTest : public ::testing::Test {
protected:
    /// Entries "a", "b", ... with cookies from `first` on.
    static nfs::DirPage page(
        std::uint64_t first, std::initializer_list<const char*> names, More more
    ) {
        nfs::DirPage out;
        out.more = more;
        for (const auto* name : names) {
            nfs::DirEntry entry;
            entry.name = name;
            entry.cookie = first++;
            entry.handle = nfs::FileHandle(std::as_bytes(std::span(entry.name)));
            entry.attr = nfs::Attr{};
            entry.attr->size = entry.name.size();
            out.entries.push_back(std::move(entry));
        }
        return out;
    }
    static nfs::DirPage without_handles(nfs::DirPage page) {
        for (auto& entry : page.entries) entry.handle.reset();
        return page;
    }
    void list(std::uint64_t from, const nfs::DirPage& page) {
        const auto load = names.begin_load();
        names.add(from, page, load, {});
        names.end_load();
    }
    /// One name after another.
    std::string next() { return std::to_string(++number_); }
    Answer answer(const char* name) const { return names.find(name).answer; }

    std::shared_ptr<NamesBudget> budget = std::make_shared<NamesBudget>();
    KnownNames names{budget};

private:
    int number_ = 0;
};

TEST_F(KnownNamesTest, nothing_is_known_at_first) {
    EXPECT_EQ(answer("a"), Answer::ask_server);
    EXPECT_FALSE(names.is_complete());
}

TEST_F(KnownNamesTest, listed_names_are_known_and_others_are_not_until_the_end) {
    list(0, page(1, {".", "..", "a"}, More::yes));
    ASSERT_EQ(answer("a"), Answer::listed);
    EXPECT_EQ(names.find("a").listed->attr.size, 1u);
    EXPECT_EQ(answer("b"), Answer::ask_server);
    EXPECT_EQ(answer("."), Answer::ask_server);
    EXPECT_EQ(names.next().cookie, 3u);
    list(3, page(4, {"b"}, More::end));
    EXPECT_TRUE(names.is_complete());
    EXPECT_EQ(answer("c"), Answer::absent);
}

TEST_F(KnownNamesTest, a_gap_between_pages_is_no_complete_listing) {
    list(0, page(1, {"a"}, More::yes));
    list(7, page(8, {"h"}, More::end));
    EXPECT_EQ(answer("h"), Answer::listed);
    EXPECT_FALSE(names.is_complete());
    EXPECT_EQ(names.next().cookie, 1u);
}

TEST_F(KnownNamesTest, the_same_pages_twice_do_no_harm) {
    list(0, page(1, {"a", "b"}, More::yes));
    list(0, page(1, {"a", "b"}, More::yes));
    list(2, page(3, {"c"}, More::end));
    EXPECT_TRUE(names.is_complete());
    EXPECT_EQ(names.size(), 3u);
}

TEST_F(KnownNamesTest, an_empty_last_page_ends_the_listing) {
    list(0, page(1, {"a"}, More::yes));
    list(1, page(2, {}, More::end));
    EXPECT_TRUE(names.is_complete());
}

TEST_F(KnownNamesTest, a_directory_made_by_us_is_empty) {
    names.begin_empty();
    EXPECT_EQ(answer("a"), Answer::absent);
    names.changed("a");
    EXPECT_EQ(answer("a"), Answer::named);
    names.removed("a");
    EXPECT_EQ(answer("a"), Answer::absent);
}

TEST_F(KnownNamesTest, entries_without_attributes_are_names_only) {
    auto bare = page(1, {"a"}, More::end);
    bare.entries[0].attr.reset();
    list(0, bare);
    EXPECT_EQ(answer("a"), Answer::named);
    EXPECT_EQ(answer("b"), Answer::absent);
}

TEST_F(KnownNamesTest, whoever_walks_through_mere_names_is_worth_pages_with_handles) {
    list(0, page(1, {"a"}, More::yes));
    list(1, without_handles(page(2, {"b", "c", "d"}, More::end)));
    EXPECT_TRUE(names.is_complete());
    EXPECT_FALSE(names.wants_page());
    names.missed(next());
    ASSERT_TRUE(names.wants_page());
    EXPECT_EQ(names.next().cookie, 1u) << "the handles of the first page are known";
    list(1, page(2, {"b", "c", "d"}, More::end));
    EXPECT_EQ(answer("d"), Answer::listed);
    names.missed(next());
    EXPECT_FALSE(names.wants_page());
}

TEST_F(KnownNamesTest, a_server_without_handles_is_asked_for_a_few_pages_only) {
    const auto bare = without_handles(page(1, {"a", "b"}, More::end));
    int pages = 0;
    for (int i = 0; i < 100; ++i) {
        names.missed(next());
        if (!names.wants_page()) continue;
        list(names.next().cookie, bare);
        ++pages;
    }
    EXPECT_LE(pages, 4);
}

TEST_F(KnownNamesTest, a_walk_that_is_expected_begins_with_one_miss) {
    names.expect_walk();
    EXPECT_FALSE(names.wants_page());
    names.missed(next());
    EXPECT_TRUE(names.wants_page());
}

TEST_F(KnownNamesTest, what_is_in_doubt_is_as_old_as_the_first_doubt) {
    const core::SteadyTime later{std::chrono::seconds(9)}, first{std::chrono::seconds(7)};
    EXPECT_EQ(names.confirmed(later), later);
    EXPECT_FALSE(names.is_doubted());
    names.doubt(first);
    names.doubt(later);
    EXPECT_EQ(names.confirmed(later), first);
    EXPECT_TRUE(names.is_doubted());
}

TEST_F(KnownNamesTest, a_page_does_not_bring_back_what_was_removed_meanwhile) {
    const auto load = names.begin_load();
    names.removed("a");
    names.changed("b");
    names.add(0, page(1, {"a", "b", "c"}, More::end), load, {});
    names.end_load();
    EXPECT_EQ(answer("a"), Answer::absent);
    EXPECT_EQ(answer("b"), Answer::named);
    EXPECT_EQ(answer("c"), Answer::listed);
}

TEST_F(KnownNamesTest, a_page_asked_for_after_a_change_knows_of_it) {
    const auto other = names.begin_load();  // some other listing is slow
    names.changed("a");
    const auto load = names.begin_load();
    names.add(0, page(1, {"a"}, More::end), load, {});
    EXPECT_EQ(answer("a"), Answer::listed);
    names.add(0, page(1, {"a"}, More::end), other, {});
    names.end_load();
    names.end_load();
    EXPECT_EQ(answer("a"), Answer::listed);
}

TEST_F(KnownNamesTest, a_walk_is_three_lookups_and_then_one_a_page) {
    names.missed(next());
    names.missed(next());
    EXPECT_FALSE(names.wants_page());
    names.missed(next());
    EXPECT_TRUE(names.wants_page());
    names.ahead = KnownNames::Ahead::under_way;
    EXPECT_FALSE(names.wants_page());
    list(0, page(1, {"a"}, More::yes));
    names.ahead = KnownNames::Ahead::idle;
    EXPECT_FALSE(names.wants_page());
    names.missed(next());
    EXPECT_TRUE(names.wants_page());
    list(1, page(2, {"b"}, More::end));
    names.missed(next());
    EXPECT_FALSE(names.wants_page());
}

TEST_F(KnownNamesTest, asking_for_one_name_again_and_again_is_no_walk) {
    for (int i = 0; i < 10; ++i) names.missed("lock");
    EXPECT_FALSE(names.wants_page());
}

TEST_F(KnownNamesTest, pages_beyond_the_first_few_are_paid_for_by_hits) {
    std::uint64_t cookie = 0;
    const auto turn = [&] {
        names.missed(next());
        if (!names.wants_page()) return false;
        list(cookie, page(cookie + 1, {"x"}, More::yes));
        ++cookie;
        return true;
    };
    names.missed(next());
    names.missed(next());
    int pages = 0;
    while (turn()) ++pages;
    EXPECT_EQ(pages, 4);
    for (int i = 0; i < 16; ++i) names.hit();
    while (turn()) ++pages;
    EXPECT_EQ(pages, 6);
}

TEST_F(KnownNamesTest, what_is_seen_elsewhere_does_not_unsettle_a_listing_that_agrees) {
    list(0, page(1, {"a", "b"}, More::yes));
    names.seen("a", names.find("a").listed->handle);
    names.seen("b", names.find("a").listed->handle);
    EXPECT_EQ(answer("a"), Answer::listed);
    EXPECT_EQ(answer("b"), Answer::named);
}

TEST_F(KnownNamesTest, the_budget_is_shared_and_given_back) {
    {
        KnownNames other(budget);
        const auto load = other.begin_load();
        other.add(0, page(1, {"a", "b"}, More::yes), load, {});
        other.end_load();
        list(0, page(1, {"a"}, More::yes));
        EXPECT_EQ(budget->used, 3u);
        budget->used += NamesBudget::kMost;
        names.missed(next());
        EXPECT_FALSE(names.wants_page());
        budget->used -= NamesBudget::kMost;
    }
    EXPECT_EQ(budget->used, 1u);
    names.removed("a");
    names.removed("a");
    EXPECT_EQ(budget->used, 0u);
}

}  // namespace
}  // namespace uidnfs::fs
