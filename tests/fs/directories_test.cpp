// SPDX-License-Identifier: Apache-2.0
// Listings: cookies of every kind, directories that change meanwhile, servers that leave parts out.
#include "fs/fixture.hpp"

#include <algorithm>
#include <set>

namespace uidnfs::test {
namespace {

class Directories : public FsTest {
protected:
    void fill(std::string_view directory, int count) {
        for (int i = 0; i < count; ++i) {
            server.put_file(fmt_name(directory, i), "x");
        }
    }
    static std::string fmt_name(std::string_view directory, int number) {
        auto digits = std::to_string(number);
        return std::string(directory) + "/file" + std::string(6 - digits.size(), '0') + digits;
    }
    fs::OpenId open_dir(std::string_view path) {
        auto& m = mount();
        const auto opened = m.run(m.fs().opendir(m.caller, m.walk(path)));
        EXPECT_EQ(errno_of(opened), 0);
        return opened->open;
    }
};

TEST_F(Directories, a_page_from_before_a_write_shows_no_size_of_a_file_that_was_dropped_since) {
    server.put_directory("/d");
    server.put_file("/d/a", "old");
    auto& m = mount();
    const auto file = m.open_file("/d/a");
    const auto directory = m.walk("/d");
    const auto opened = m.run(m.fs().opendir(m.caller, directory));
    const auto dots = m.read_dir(opened->open, 0, fs::Listing::plus, 2);
    ASSERT_EQ(dots.size(), 2u);
    m.write_at(file, 0, "newer");
    EXPECT_EQ(m.close_file(file), 0);
    m.fs().forget(file.inode, 10);  // all
    const auto rest = m.read_dir(opened->open, dots.back().next_offset, fs::Listing::plus, 2);
    ASSERT_EQ(rest.size(), 1u);
    EXPECT_EQ(rest.front().inode, 0u) << "the name alone";
    EXPECT_EQ(m.stat_of("/d/a").st_size, 5);
    m.fs().releasedir(opened->open);
}

TEST_F(Directories, empty_directory_has_dots) {
    server.put_directory("/d");
    const auto items = mount().read_dir(open_dir("/d"), 0, fs::Listing::names, 10);
    ASSERT_EQ(items.size(), 2u);
    EXPECT_EQ(items[0].name, ".");
    EXPECT_EQ(items[1].name, "..");
    EXPECT_EQ(items[0].fileid, server.attr("/d").fileid);
    EXPECT_EQ(items[1].fileid, server.attr("/").fileid);
    EXPECT_EQ(items[0].inode, 0u);
}

TEST_F(Directories, every_name_once) {
    server.put_directory("/d");
    fill("/d", 500);
    EXPECT_EQ(mount().names("/d"), server.names("/d"));
    EXPECT_EQ(mount().list("/d", fs::Listing::plus, 7).size(), 500u);
}

TEST_F(Directories, fileids_and_types_are_the_servers) {
    server.put_directory("/d");
    server.put_file("/d/file", "x");
    server.put_directory("/d/sub");
    server.put_symlink("/d/link", "x");
    for (const auto& item : mount().list("/d", fs::Listing::plus)) {
        const auto attr = server.attr("/d/" + item.name);
        EXPECT_EQ(item.fileid, attr.fileid);
        EXPECT_EQ(item.type, mount().stat_of("/d/" + item.name).st_mode & S_IFMT) << item.name;
    }
}

TEST_F(Directories, plus_counts_lookups_and_saves_calls) {
    server.put_directory("/d");
    fill("/d", 50);
    auto& m = mount();
    server.clear_calls();
    const auto items = m.list("/d", fs::Listing::plus);
    for (const auto& item : items) {
        ASSERT_NE(item.inode, 0u);
        EXPECT_EQ(m.stat_id(item.inode).st_size, 1);
    }
    EXPECT_EQ(count(Procedure::getattr), 1u) << "of the directory, at opendir";
    EXPECT_EQ(count(Procedure::lookup), 1u) << "of the directory";
    m.fs().forget(items[0].inode, 1);
    EXPECT_EQ(errno_of(m.run(m.fs().getattr(m.caller, items[0].inode))), ESTALE);
}

TEST_F(Directories, item_that_did_not_fit_is_not_counted) {
    server.put_directory("/d");
    fill("/d", 3);
    auto& m = mount();
    const auto before = m.fs().status().inodes;
    const auto items = m.read_dir(open_dir("/d"), 0, fs::Listing::plus, 3);  // ".", "..", one
    ASSERT_EQ(items.size(), 3u);
    EXPECT_EQ(m.fs().status().inodes, before + 2) << "the directory and one file";
}

TEST_F(Directories, names_only_costs_no_readdirplus) {
    fill("", 10);
    mount().list("/", fs::Listing::names);
    EXPECT_EQ(count(Procedure::readdirplus), 0u);
    EXPECT_GE(count(Procedure::readdir), 1u);
}

TEST_F(Directories, nordirplus_never_asks_for_it) {
    options.readdirplus = fs::Readdirplus::off;
    fill("", 10);
    const auto items = mount().list("/", fs::Listing::plus);
    EXPECT_EQ(items.size(), 10u);
    EXPECT_EQ(count(Procedure::readdirplus), 0u);
}

TEST_F(Directories, server_without_readdirplus_is_asked_once) {
    server.adjust([](Behaviour& behaviour) { behaviour.readdirplus = Support::no; });
    fill("", 10);
    EXPECT_EQ(mount().list("/", fs::Listing::plus).size(), 10u);
    EXPECT_EQ(mount().list("/", fs::Listing::plus).size(), 10u);
    EXPECT_EQ(count(Procedure::readdirplus), 1u);
}

TEST_F(Directories, entries_without_handles_or_attributes) {
    for (const auto handles : {Presence::never, Presence::alternating, Presence::always}) {
        for (const auto attrs : {Presence::never, Presence::alternating}) {
            server.adjust([&](Behaviour& behaviour) {
                behaviour.entry_handles = handles;
                behaviour.entry_attrs = attrs;
            });
            auto& m = add_mount(options, client_options);
            const auto directory = "/d" + std::to_string(static_cast<int>(handles)) +
                                   std::to_string(static_cast<int>(attrs));
            server.put_directory(directory);
            fill(directory, 20);
            const auto items = m.list(directory, fs::Listing::plus, 3);
            EXPECT_EQ(items.size(), 20u);
            for (const auto& item : items) {
                EXPECT_EQ(item.fileid, server.attr(directory + "/" + item.name).fileid);
                if (item.inode != 0) {
                    EXPECT_EQ(m.stat_id(item.inode).st_size, 1);
                }
            }
        }
    }
}

class Cookies : public Directories, public ::testing::WithParamInterface<CookieStyle> {
protected:
    void SetUp() override {
        Directories::SetUp();
        server.adjust([](Behaviour& behaviour) { behaviour.cookies = GetParam(); });
        server.put_directory("/d");
    }
};

TEST_P(Cookies, offsets_are_never_negative) {
    fill("/d", 300);
    for (const auto& item : mount().list("/d", fs::Listing::names, 10)) {
        EXPECT_GE(static_cast<std::int64_t>(item.next_offset), 0) << item.name;
    }
}

TEST_P(Cookies, listing_goes_on_from_any_offset) {
    fill("/d", 60);
    auto& m = mount();
    const auto open = open_dir("/d");
    const auto all = m.read_dir(open, 0, fs::Listing::names, 1000);
    ASSERT_EQ(all.size(), 62u);
    for (const std::size_t at : {1ul, 2ul, 30ul, 60ul, 5ul, 61ul}) {
        const auto rest = m.read_dir(open, all[at - 1].next_offset, fs::Listing::names, 1000);
        ASSERT_EQ(rest.size(), all.size() - at);
        EXPECT_EQ(rest[0].name, all[at].name);
    }
    EXPECT_TRUE(m.read_dir(open, all.back().next_offset, fs::Listing::names, 10).empty());
    m.fs().releasedir(open);
}

TEST_P(Cookies, small_buffers_and_large_directories) {
    fill("/d", 3000);
    auto items = mount().list("/d", fs::Listing::plus, 11);
    std::set<std::string> names;
    for (const auto& item : items) names.insert(item.name);
    EXPECT_EQ(items.size(), 3000u);
    EXPECT_EQ(names.size(), 3000u);
}

TEST_P(Cookies, names_that_stay_are_listed_once_while_others_come_and_go) {
    fill("/d", 2000);
    auto& m = mount();
    const auto open = open_dir("/d");
    std::multiset<std::string> seen;
    std::uint64_t offset = 0;
    int round = 0;
    for (;;) {
        const auto items = m.read_dir(open, offset, fs::Listing::plus, 50);
        if (items.empty()) break;
        offset = items.back().next_offset;
        for (const auto& item : items) seen.insert(item.name);
        // Odd numbers go, new names come.
        const auto victim = fmt_name("/d", round * 50 + 1);
        if (server.exists(victim)) server.remove_path(victim);
        if (round < 40) server.put_file("/d/new" + std::to_string(round), "x");
        ASSERT_LT(++round, 200);
    }
    for (int i = 0; i < 2000; i += 2) {
        EXPECT_EQ(seen.count(fmt_name("", i).substr(1)), 1u) << i;
    }
    m.fs().releasedir(open);
}

TEST_P(Cookies, rm_r_finds_everything) {
    fill("/d", 1000);
    auto& m = mount();
    const auto open = open_dir("/d");
    std::uint64_t offset = 0;
    for (;;) {
        const auto items = m.read_dir(open, offset, fs::Listing::names, 30);
        if (items.empty()) break;
        offset = items.back().next_offset;
        for (const auto& item : items) {
            if (item.name[0] != '.') {
                EXPECT_EQ(m.remove_file("/d/" + item.name), 0);
            }
        }
    }
    m.fs().releasedir(open);
    EXPECT_TRUE(server.names("/d").empty());
}

INSTANTIATE_TEST_SUITE_P(
    Styles,
    Cookies,
    ::testing::Values(CookieStyle::small, CookieStyle::high_bit, CookieStyle::scattered)
);

class ChangingVerifiers : public Directories {
protected:
    void SetUp() override {
        Directories::SetUp();
        server.adjust([](Behaviour& behaviour) {
            behaviour.cookie_verifiers = CookieVerifiers::changing;
        });
        server.put_directory("/d");
    }
};

TEST_F(ChangingVerifiers, listing_goes_on_after_bad_cookie) {
    fill("/d", 5000);
    auto& m = mount();
    const auto open = open_dir("/d");
    std::multiset<std::string> seen;
    std::uint64_t offset = 0;
    int round = 0;
    for (;;) {
        const auto items = m.read_dir(open, offset, fs::Listing::names, 400);
        if (items.empty()) break;
        offset = items.back().next_offset;
        for (const auto& item : items) seen.insert(item.name);
        server.put_file("/d/new" + std::to_string(round), "x");
        ASSERT_LT(++round, 100);
    }
    m.fs().releasedir(open);
    EXPECT_GE(server.count([](const Call& call) {
        return call.procedure == Procedure::readdir && call.offset != 0;
    }), 1u) << "the directory was too small to need a second page";
    for (int i = 0; i < 5000; ++i) EXPECT_EQ(seen.count(fmt_name("", i).substr(1)), 1u) << i;
}

TEST_F(ChangingVerifiers, rm_r_ends_and_finds_everything) {
    fill("/d", 3000);
    auto& m = mount();
    for (int pass = 0; pass < 20 && !server.names("/d").empty(); ++pass) {
        const auto open = open_dir("/d");
        std::uint64_t offset = 0;
        for (int buffers = 0;; ++buffers) {
            ASSERT_LT(buffers, 1000) << "the listing does not end";
            const auto items = m.read_dir(open, offset, fs::Listing::names, 100);
            if (items.empty()) break;
            offset = items.back().next_offset;
            for (const auto& item : items) {
                if (item.name[0] != '.') {
                    EXPECT_EQ(m.remove_file("/d/" + item.name), 0);
                }
            }
        }
        m.fs().releasedir(open);
    }
    EXPECT_TRUE(server.names("/d").empty());
}

TEST_F(Directories, hundred_thousand_entries) {
    server.put_directory("/d");
    fill("/d", 100'000);
    EXPECT_EQ(mount().list("/d", fs::Listing::names, 1000).size(), 100'000u);
}

TEST_F(Directories, new_opendir_sees_new_names) {
    server.put_directory("/d");
    fill("/d", 3);
    EXPECT_EQ(mount().names("/d").size(), 3u);
    server.put_file("/d/other", "x");
    EXPECT_EQ(mount().names("/d").size(), 4u);
}

TEST_F(Directories, rewinddir_sees_new_names) {
    server.put_directory("/d");
    fill("/d", 3);
    const auto open = open_dir("/d");
    EXPECT_EQ(mount().read_dir(open, 0, fs::Listing::names, 100).size(), 5u);
    server.put_file("/d/other", "x");
    EXPECT_EQ(mount().read_dir(open, 0, fs::Listing::names, 100).size(), 6u);
}

TEST_F(Directories, the_first_page_comes_with_the_open) {
    server.put_directory("/d");
    server.put_file("/d/a", "x");
    auto& m = mount();
    const auto id = m.walk("/d");
    const auto open = m.run(m.fs().opendir(m.caller, id))->open;
    world.serve_what_follows();
    server.clear_calls();
    EXPECT_EQ(m.read_dir(open, 0, fs::Listing::plus, 100).size(), 3u);
    EXPECT_EQ(count_all(), 0u);
    // From the beginning again: that is another question.
    EXPECT_EQ(m.read_dir(open, 0, fs::Listing::plus, 100).size(), 3u);
    EXPECT_EQ(count(Procedure::readdirplus), 1u);
    m.fs().releasedir(open);
}

TEST_F(Directories, what_was_done_since_the_open_is_listed) {
    server.put_directory("/d");
    auto& m = mount();
    const auto id = m.walk("/d");
    auto open = m.run(m.fs().opendir(m.caller, id))->open;
    m.make_file("/d/ours", "x");
    EXPECT_EQ(m.read_dir(open, 0, fs::Listing::plus, 100).size(), 3u);
    m.fs().releasedir(open);
    open = m.run(m.fs().opendir(m.caller, id))->open;
    world.serve_what_follows();
    second().make_file("/d/theirs", "x");
    world.clock.advance(std::chrono::milliseconds(501));
    EXPECT_EQ(m.read_dir(open, 0, fs::Listing::plus, 100).size(), 4u);
    m.fs().releasedir(open);
}

TEST_F(Directories, whoever_opens_and_does_not_list_pays_for_a_few_pages) {
    server.put_directory("/d");
    auto& m = mount();
    const auto id = m.walk("/d");
    server.clear_calls();
    for (int i = 0; i < 100; ++i) m.fs().releasedir(m.run(m.fs().opendir(m.caller, id))->open);
    m.drain();
    EXPECT_LE(count(Procedure::readdirplus), 15u);
    // Somebody who does list is found out about.
    for (int i = 0; i < 32; ++i) m.list("/d", fs::Listing::plus);
    server.clear_calls();
    m.client().forget_most();
    m.list("/d", fs::Listing::plus);
    EXPECT_EQ(m.client().most_in_flight(), 3u) << "GETATTR, ACCESS and READDIRPLUS";
}

TEST_F(Directories, a_first_page_that_fails_is_told_once) {
    server.put_directory("/d");
    server.put_file("/d/a", "x");
    auto& m = mount();
    server.inject({.procedure = Procedure::readdirplus, .fail = Status::io});
    EXPECT_ANY_THROW(m.list("/d", fs::Listing::plus));
    EXPECT_EQ(m.list("/d", fs::Listing::plus).size(), 1u);
}

TEST_F(Directories, opendir_needs_read_permission) {
    server.put_directory("/d", 0311);
    auto& m = mount();
    EXPECT_EQ(errno_of(m.run(m.fs().opendir(m.caller, m.walk("/d")))), EACCES);
}

TEST_F(Directories, error_in_the_middle_is_told_and_the_rest_can_be_read) {
    fill("", 5000);
    auto& m = mount();
    const auto open = open_dir("/");
    auto items = m.read_dir(open, 0, fs::Listing::names, 100);
    server.inject({.procedure = Procedure::readdir, .fail = Status::io});
    std::size_t seen = items.size();
    int errors = 0;
    auto offset = items.back().next_offset;
    for (;;) {
        std::vector<Listed> more;
        const auto sink = [&](const fs::DirItem& item) {
            if (more.size() == 1000) return false;
            more.push_back({std::string(item.name), item.fileid, item.type, item.next_offset, 0});
            return true;
        };
        const auto done = m.run(m.fs().readdir(open, offset, fs::Listing::names, sink));
        if (!done) {
            EXPECT_EQ(errno_of(done), EIO);
            ASSERT_EQ(++errors, 1);
            continue;
        }
        if (more.empty()) break;
        seen += more.size();
        offset = more.back().next_offset;
    }
    EXPECT_EQ(errors, 1);
    EXPECT_EQ(seen, 5002u);
    m.fs().releasedir(open);
}

TEST_F(Directories, unknown_offset_is_invalid_or_ends_the_listing) {
    fill("", 3);
    auto& m = mount();
    const auto open = open_dir("/");
    std::size_t items = 0;
    const auto sink = [&](const fs::DirItem&) { return ++items < 100; };
    const auto far = std::uint64_t{1} << 62 | 12345;
    const auto done = m.run(m.fs().readdir(open, far, fs::Listing::names, sink));
    EXPECT_TRUE(errno_of(done) == EINVAL || items == 0);
    m.fs().releasedir(open);
}

TEST_F(Directories, directory_removed_while_listed_is_stale) {
    server.put_directory("/d");
    auto& m = mount();
    const auto open = open_dir("/d");
    server.remove_path("/d");
    const auto sink = [](const fs::DirItem&) { return true; };
    EXPECT_EQ(errno_of(m.run(m.fs().readdir(open, 0, fs::Listing::names, sink))), ESTALE);
    m.fs().releasedir(open);
}

TEST_F(Directories, switch_from_plus_to_names_in_the_middle) {
    fill("", 2000);
    auto& m = mount();
    const auto open = open_dir("/");
    std::multiset<std::string> seen;
    std::uint64_t offset = 0;
    auto kind = fs::Listing::plus;
    for (;;) {
        const auto items = m.read_dir(open, offset, kind, 70);
        if (items.empty()) break;
        kind = kind == fs::Listing::plus ? fs::Listing::names : fs::Listing::plus;
        offset = items.back().next_offset;
        for (const auto& item : items) seen.insert(item.name);
    }
    EXPECT_EQ(seen.size(), 2002u);
    EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 2002u);
    m.fs().releasedir(open);
}

TEST_F(Directories, fsyncdir_has_nothing_to_wait_for) {
    auto& m = mount();
    const auto open = open_dir("/");
    EXPECT_EQ(errno_of(m.run(m.fs().fsyncdir(open))), 0);
    m.fs().releasedir(open);
    EXPECT_EQ(errno_of(m.run(m.fs().fsyncdir(open))), EBADF);
}

}  // namespace
}  // namespace uidnfs::test
