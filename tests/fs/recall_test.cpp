// SPDX-License-Identifier: Apache-2.0
// Lookups that cost no call because a listing answers them, and what must not be answered so.
#include "fs/fixture.hpp"
#include "fs/known_names.hpp"

namespace uidnfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Recall : public FsTest {
protected:
    void put_files(const std::string& directory, int count) {
        server.put_directory(directory, 0755);
        for (int i = 0; i < count; ++i) server.put_file(path(directory, i), "content");
    }
    static std::string path(const std::string& directory, int number) {
        return directory + "/file-" + std::to_string(number);
    }
    std::size_t lookups() const { return count(Procedure::lookup); }
    /// Pages that were asked for ahead have come.
    void settle(Mount& m) {
        world.serve_until([&] { return m.client().in_flight() == 0; });
        world.serve_what_follows();
    }
};

TEST_F(Recall, stat_of_every_file_of_a_directory_costs_a_tenth_of_a_call) {
    put_files("/d", 700);
    const auto directory = mount().walk("/d");
    server.clear_calls();
    for (int i = 0; i < 700; ++i) {
        const auto found = mount().lookup(directory, "file-" + std::to_string(i));
        ASSERT_TRUE(found);
        ASSERT_EQ(found->stat.st_size, 7);
        ASSERT_GT(found->attr_valid, milliseconds(0));
    }
    EXPECT_LE(count_all(), 70u);
}

TEST_F(Recall, stat_of_known_files_costs_a_tenth_of_a_call) {
    constexpr int kFiles = 700;
    put_files("/d", kFiles);
    auto& m = mount();
    const auto directory = m.walk("/d");
    std::vector<fs::InodeId> ids;
    for (int i = 0; i < kFiles; ++i) {
        ids.push_back(m.lookup(directory, "file-" + std::to_string(i))->id);
    }
    for (int round = 0; round < 3; ++round) {
        world.clock.advance(seconds(120));
        server.overwrite(path("/d", 7 + round), 0, "CONTENT and more");
        server.clear_calls();
        for (int i = 0; i < kFiles; ++i) {
            const auto size = m.stat_id(ids[static_cast<std::size_t>(i)]).st_size;
            ASSERT_EQ(size, i >= 7 && i <= 7 + round ? 16 : 7) << i;
        }
        EXPECT_LE(count_all(), 70u);
    }
}

TEST_F(Recall, a_walk_goes_on_in_the_next_directory) {
    constexpr int kFiles = 20;
    const std::vector<std::string> directories{"/top/a", "/top/b", "/top/c"};
    server.put_directory("/top", 0755);
    for (const auto& directory : directories) put_files(directory, kFiles);
    auto& m = mount();
    std::vector<std::vector<fs::InodeId>> ids(directories.size());
    for (std::size_t d = 0; d < directories.size(); ++d) {
        const auto directory = m.walk(directories[d]);
        settle(m);
        server.clear_calls();
        for (int i = 0; i < kFiles; ++i) {
            ids[d].push_back(m.lookup(directory, "file-" + std::to_string(i))->id);
            settle(m);
        }
        EXPECT_EQ(lookups(), d == 0 ? 3u : 1u) << directories[d];
        EXPECT_EQ(count(Procedure::readdirplus), 1u) << directories[d];
    }
    world.clock.advance(seconds(120));
    for (std::size_t d = 0; d < directories.size(); ++d) {
        server.clear_calls();
        for (const auto id : ids[d]) {
            m.stat_id(id);
            settle(m);
        }
        EXPECT_EQ(count(Procedure::getattr), 1u) << directories[d];
        EXPECT_EQ(count(Procedure::readdirplus), 1u) << directories[d];
    }
}

TEST_F(Recall, directories_elsewhere_are_not_listed_for_one_file) {
    server.put_directory("/top", 0755);
    server.put_directory("/other", 0755);
    put_files("/top/a", 20);
    put_files("/other/a", 20);
    for (int d = 0; d < 40; ++d) put_files("/top/d" + std::to_string(d), 20);
    auto& m = mount();
    const auto walked = m.walk("/top/a");
    for (int i = 0; i < 20; ++i) m.lookup(walked, "file-" + std::to_string(i));
    const auto other = m.walk("/other/a");
    settle(m);
    server.clear_calls();
    m.lookup(other, "file-1");
    settle(m);
    EXPECT_EQ(count(Procedure::readdirplus), 0u);
    // Beside the one that was gone through it was worth a try, and no more than that.
    for (int d = 0; d < 40; ++d) {
        m.lookup(m.walk("/top/d" + std::to_string(d)), "file-1");
        settle(m);
    }
    EXPECT_LE(count(Procedure::readdirplus), 6u);
}

TEST_F(Recall, a_few_stats_are_no_reason_to_list_a_directory) {
    put_files("/d", 50);
    auto& m = mount();
    const auto directory = m.walk("/d");
    const auto one = m.lookup(directory, "file-1")->id;
    const auto two = m.lookup(directory, "file-2")->id;
    world.clock.advance(seconds(120));
    server.clear_calls();
    for (int i = 0; i < 20; ++i) {
        m.stat_id(one);
        m.stat_id(two);
        world.clock.advance(seconds(120));
    }
    m.drain();
    EXPECT_LE(count(Procedure::readdirplus), 2u);
}

TEST_F(Recall, own_changes_while_a_page_is_on_its_way_are_not_undone_by_it) {
    constexpr int kFiles = 30;
    put_files("/d", kFiles);
    auto& m = mount();
    const auto directory = m.walk("/d");
    std::vector<fs::InodeId> ids;
    for (int i = 0; i < kFiles; ++i) {
        ids.push_back(m.lookup(directory, "file-" + std::to_string(i))->id);
    }
    for (const auto presence : {Presence::always, Presence::never}) {
        world.clock.advance(seconds(120));
        // The page is made on the server now and arrives when all is over.
        server.inject({.procedure = Procedure::readdirplus, .hold_reply = milliseconds(200)});
        for (int i = 0; i < 6; ++i) m.stat_id(ids[static_cast<std::size_t>(i)]);
        server.adjust([&](Behaviour& behaviour) { behaviour.post_op_attrs = presence; });
        const auto file = m.open_file("/d/file-20", O_WRONLY);
        m.write_at(file, 0, presence == Presence::always ? "longer content" : "longer content yet");
        ASSERT_EQ(m.close_file(file), 0);
        ASSERT_EQ(m.chmod_path("/d/file-21", presence == Presence::always ? 0600 : 0640), 0);
        world.serve_until([&] { return m.client().in_flight() == 0; });
        world.serve_what_follows();
        EXPECT_EQ(m.stat_id(ids[20]).st_size, presence == Presence::always ? 14 : 18);
        EXPECT_EQ(m.stat_id(ids[21]).st_mode & 0777, presence == Presence::always ? 0600u : 0640u);
        server.adjust([](Behaviour& behaviour) { behaviour.post_op_attrs = Presence::always; });
        server.forget_faults();
    }
}

TEST_F(Recall, files_of_a_listing_cost_no_lookup) {
    put_files("/d", 50);
    const auto directory = mount().walk("/d");
    mount().list("/d", fs::Listing::plus);
    server.clear_calls();
    for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(mount().lookup(directory, "file-" + std::to_string(i)));
    }
    EXPECT_EQ(errno_of(mount().lookup(directory, "absent")), 0);
    EXPECT_EQ(count_all(), 0u);
}

TEST_F(Recall, files_of_a_listing_of_mere_names_cost_a_tenth_of_a_lookup) {
    constexpr int kFiles = 500;
    put_files("/d", kFiles);
    const auto directory = mount().walk("/d");
    mount().list("/d", fs::Listing::names);
    server.clear_calls();
    for (int i = 0; i < kFiles; ++i) {
        ASSERT_TRUE(mount().lookup(directory, "file-" + std::to_string(i)));
    }
    EXPECT_LE(count_all(), 50u);
}

TEST_F(Recall, a_directory_of_ours_costs_no_lookup_when_it_is_made_again) {
    const auto parent = mount().walk("/");
    mount().lookup(parent, "absent");
    ASSERT_EQ(mount().make_dir("/d"), 0);
    server.clear_calls();
    EXPECT_NE(mount().lookup(parent, "d")->id, 0u);
    EXPECT_EQ(count_all(), 0u);
    ASSERT_EQ(second().remove_dir("/d"), 0);
    world.clock.advance(milliseconds(1100));
    EXPECT_EQ(mount().lookup(parent, "d")->id, 0u);
}

TEST_F(Recall, a_new_directory_is_one_call) {
    ASSERT_EQ(mount().make_dir("/d"), 0);
    const auto directory = mount().walk("/d");
    mount().lookup(directory, "first");
    // NFS-Ganesha leaves out how the directory was before a MKDIR.
    for (const auto before : {Presence::always, Presence::never}) {
        server.adjust([&](Behaviour& behaviour) { behaviour.pre_op_attrs = before; });
        server.clear_calls();
        for (int i = 0; i < 20; ++i) {
            const auto name = std::to_string(static_cast<int>(before)) + "-" + std::to_string(i);
            ASSERT_EQ(mount().lookup(directory, name)->id, 0u);
            ASSERT_EQ(mount().make_dir("/d/" + name), 0);
        }
        EXPECT_EQ(count(Procedure::mkdir), 20u);
        EXPECT_EQ(count_all(), 20u);
    }
}

TEST_F(Recall, what_the_server_does_not_confirm_counts_for_a_second_only) {
    ASSERT_EQ(mount().make_dir("/d"), 0);
    const auto directory = mount().walk("/d");
    mount().lookup(directory, "first");
    server.adjust([](Behaviour& behaviour) { behaviour.pre_op_attrs = Presence::never; });
    second().make_file("/d/theirs", "x");
    // Each of our own calls brings attributes, and none says what was there before it.
    for (int i = 0; i < 11; ++i) {
        ASSERT_EQ(mount().make_dir("/d/" + std::to_string(i)), 0);
        world.clock.advance(milliseconds(100));
    }
    EXPECT_NE(mount().lookup(directory, "theirs")->id, 0u);
}

TEST_F(Recall, three_lookups_are_no_reason_to_list_a_directory) {
    put_files("/d", 50);
    const auto directory = mount().walk("/d");
    server.clear_calls();
    mount().lookup(directory, "file-1");
    mount().lookup(directory, "file-2");
    mount().lookup(directory, "file-2");
    mount().drain();
    EXPECT_EQ(count(Procedure::readdirplus), 0u);
}

TEST_F(Recall, new_files_in_a_directory_of_ours_cost_one_call_less) {
    ASSERT_EQ(mount().make_dir("/d"), 0);
    const auto directory = mount().walk("/d");
    mount().lookup(directory, "first");
    server.clear_calls();
    for (int i = 0; i < 20; ++i) {
        const auto name = "file-" + std::to_string(i);
        const auto before = mount().lookup(directory, name);
        ASSERT_TRUE(before);
        EXPECT_EQ(before->id, 0u);
        const auto made =
            mount().run(mount().fs().create(mount().caller, directory, name, 0644, O_RDWR | O_CREAT)
            );
        ASSERT_TRUE(made);
        mount().run(mount().fs().release(made->open.open));
    }
    EXPECT_EQ(lookups(), 0u);
    EXPECT_EQ(count(Procedure::create), 20u);
    EXPECT_EQ(server.names("/d").size(), 20u);
}

TEST_F(Recall, own_changes_are_seen_at_once) {
    put_files("/d", 10);
    put_files("/e", 1);
    mount().list("/d", fs::Listing::plus);
    ASSERT_EQ(mount().remove_file("/d/file-1"), 0);
    EXPECT_FALSE(mount().exists("/d/file-1"));
    mount().make_file("/d/file-1", "new");
    EXPECT_EQ(mount().content_of("/d/file-1"), "new");
    ASSERT_EQ(mount().rename_path("/d/file-2", "/e/moved"), 0);
    EXPECT_FALSE(mount().exists("/d/file-2"));
    EXPECT_TRUE(mount().exists("/e/moved"));
    ASSERT_EQ(mount().rename_path("/d/file-3", "/d/file-4"), 0);
    EXPECT_FALSE(mount().exists("/d/file-3"));
    EXPECT_TRUE(mount().exists("/d/file-4"));
    ASSERT_EQ(mount().link_path("/d/file-5", "/d/hard"), 0);
    EXPECT_EQ(mount().stat_of("/d/file-5").st_nlink, 2u);
    EXPECT_EQ(mount().stat_of("/d/hard").st_nlink, 2u);
    ASSERT_EQ(mount().make_dir("/d/sub"), 0);
    EXPECT_TRUE(mount().exists("/d/sub"));
    ASSERT_EQ(mount().remove_dir("/d/sub"), 0);
    EXPECT_FALSE(mount().exists("/d/sub"));
    ASSERT_EQ(mount().symlink_path("x", "/d/link"), 0);
    EXPECT_TRUE(mount().exists("/d/link"));
}

TEST_F(Recall, a_file_that_was_listed_written_and_forgotten_is_asked_for) {
    put_files("/d", 10);
    auto& m = mount();
    const auto directory = m.walk("/d");
    m.list("/d", fs::Listing::plus);
    const auto file = m.open_file("/d/file-1");
    m.write_at(file, 0, "longer content");
    m.close_file(file);
    m.fs().forget(file.inode, 1000);
    const auto found = m.lookup(directory, "file-1");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->stat.st_size, 14);
}

TEST_F(Recall, another_name_of_a_file_with_several_is_asked_for) {
    put_files("/d", 3);
    auto& m = mount();
    ASSERT_EQ(second().link_path("/d/file-1", "/d/hard"), 0);
    const auto directory = m.walk("/d");
    const auto file = m.open_file("/d/file-1");
    m.list("/d", fs::Listing::names);
    m.write_at(file, 0, "longer content");
    m.close_file(file);
    m.fs().forget(file.inode, 1000);
    const auto found = m.lookup(directory, "hard");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->stat.st_size, 14);
}

TEST_F(Recall, a_name_that_somebody_else_made_is_found_after_a_second) {
    put_files("/d", 10);
    const auto directory = mount().walk("/d");
    mount().list("/d", fs::Listing::plus);
    second().make_file("/d/theirs", "x");
    world.clock.advance(milliseconds(1100));
    const auto found = mount().lookup(directory, "theirs");
    ASSERT_TRUE(found);
    EXPECT_NE(found->id, 0u);
}

TEST_F(Recall, a_name_found_taken_is_not_absent_afterwards) {
    ASSERT_EQ(mount().make_dir("/d"), 0);
    const auto directory = mount().walk("/d");
    mount().lookup(directory, "absent");
    second().make_file("/d/theirs", "x");
    EXPECT_EQ(mount().lookup(directory, "theirs")->id, 0u);  // within the second
    EXPECT_EQ(mount().make_dir("/d/theirs"), EEXIST);
    EXPECT_NE(mount().lookup(directory, "theirs")->id, 0u);
    EXPECT_GE(mount().invalidated().all_names_count, 1);
}

TEST_F(Recall, what_was_made_is_not_absent_where_nothing_more_is_told_of_it) {
    ASSERT_EQ(mount().make_dir("/d"), 0);
    const auto directory = mount().walk("/d");
    mount().lookup(directory, "absent");
    server.adjust([](Behaviour& behaviour) { behaviour.created_handles = Presence::never; });
    server.inject({.procedure = Procedure::lookup, .fail = Status::io});
    EXPECT_EQ(mount().make_dir("/d/made"), EIO);
    EXPECT_NE(mount().lookup(directory, "made")->id, 0u);
}

TEST_F(Recall, what_was_linked_is_not_absent_where_nothing_more_is_told_of_it) {
    options.timers.file_min = options.timers.file_max = milliseconds(0);
    ASSERT_EQ(mount().make_dir("/d"), 0);
    const auto directory = mount().walk("/d");
    mount().lookup(directory, "absent");
    server.put_file("/a", "x");
    mount().walk("/a");
    server.inject({.procedure = Procedure::getattr, .fail = Status::io});
    EXPECT_EQ(mount().link_path("/a", "/d/linked"), EIO);
    EXPECT_NE(mount().lookup(directory, "linked")->id, 0u);
}

TEST_F(Recall, a_foreign_change_of_the_directory_ends_what_was_known) {
    put_files("/d", 10);
    const auto directory = mount().walk("/d");
    mount().list("/d", fs::Listing::plus);
    ASSERT_EQ(second().remove_file("/d/file-1"), 0);
    ASSERT_EQ(second().rename_path("/d/file-2", "/d/file-3"), 0);
    // Our own change brings the server's word about what was before it.
    mount().make_file("/d/ours", "x");
    const auto removed = mount().lookup(directory, "file-1");
    ASSERT_TRUE(removed);
    EXPECT_EQ(removed->id, 0u);
    const auto source = mount().lookup(directory, "file-2");
    ASSERT_TRUE(source);
    EXPECT_EQ(source->id, 0u);
}

TEST_F(Recall, a_directory_that_somebody_else_changes_all_the_time_is_not_listed_each_time) {
    constexpr int kFiles = 600;
    put_files("/d", kFiles);
    auto& m = mount();
    const auto directory = m.walk("/d");
    server.clear_calls();
    int next = 0;
    const auto look_up = [&](int count) {
        for (const int end = next + count; next < end; ++next) {
            ASSERT_TRUE(m.lookup(directory, "file-" + std::to_string(next)));
            settle(m);
        }
    };
    for (int i = 0; i < 60; ++i) {
        look_up(5);
        const auto name = "new-" + std::to_string(i);
        server.put_file("/d/" + name, "");
        ASSERT_TRUE(m.lookup(directory, name)) << "tells of the change, too";
        settle(m);
    }
    EXPECT_LE(count(Procedure::readdirplus), 8u) << "five names a page are not worth it";
    // When the changes end, a longer walk brings pages as ever.
    server.clear_calls();
    look_up(300);
    EXPECT_LE(lookups(), 60u);
}

TEST_F(Recall, attributes_grow_no_younger_by_being_recalled) {
    put_files("/d", 10);
    auto& m = mount();
    const auto directory = m.walk("/d");
    for (int i = 0; i < 5; ++i) m.lookup(directory, "file-" + std::to_string(i));
    server.clear_calls();
    world.clock.advance(milliseconds(2000));
    const auto found = m.lookup(directory, "file-9");
    ASSERT_TRUE(found);
    EXPECT_EQ(count_all(), 0u);
    world.clock.advance(milliseconds(1500));
    server.overwrite("/d/file-9", 0, "CONTENT and more");
    EXPECT_EQ(m.stat_id(found->id).st_size, 16);
}

TEST_F(Recall, a_directory_that_may_not_be_searched_tells_nothing) {
    put_files("/d", 10);
    mount().list("/d", fs::Listing::plus);
    ASSERT_EQ(mount().chmod_path("/d", 0600), 0);
    const auto directory = mount().walk("/d");
    EXPECT_EQ(errno_of(mount().lookup(directory, "file-1")), EACCES);
    EXPECT_EQ(errno_of(mount().lookup(directory, "absent")), EACCES);
}

TEST_F(Recall, lookupcache_pos_asks_for_every_name_that_is_not_there) {
    options.lookup_cache = fs::LookupCache::positive;
    put_files("/d", 10);
    const auto directory = mount().walk("/d");
    mount().list("/d", fs::Listing::plus);
    server.clear_calls();
    mount().lookup(directory, "absent");
    mount().lookup(directory, "absent");
    EXPECT_EQ(lookups(), 2u);
}

TEST_F(Recall, lookupcache_none_and_noac_ask_for_every_name) {
    auto none = default_options();
    none.lookup_cache = fs::LookupCache::none;
    auto noac = default_options();
    noac.timers = {seconds(0), seconds(0), seconds(0), seconds(0)};
    put_files("/d", 10);
    for (const auto& with : {none, noac}) {
        auto& m = add_mount(with, {});
        const auto directory = m.walk("/d");
        m.list("/d", fs::Listing::plus);
        server.clear_calls();
        for (int i = 0; i < 10; ++i) m.lookup(directory, "file-" + std::to_string(i));
        EXPECT_EQ(lookups(), 10u);
    }
}

TEST_F(Recall, a_listing_ahead_that_fails_disturbs_nobody) {
    put_files("/d", 40);
    put_files("/e", 40);
    for (const auto& [directory, trouble] :
         {std::pair{"/d", Status::io}, std::pair{"/e", Status::notsupp}}) {
        const auto id = mount().walk(directory);
        server.inject({.procedure = Procedure::readdirplus, .times = 10, .fail = trouble});
        for (int i = 0; i < 40; ++i) {
            const auto found = mount().lookup(id, "file-" + std::to_string(i));
            ASSERT_TRUE(found);
            EXPECT_NE(found->id, 0u);
        }
        server.forget_faults();
        EXPECT_EQ(mount().names(directory).size(), 40u);
    }
}

TEST_F(Recall, a_large_directory_is_not_kept_whole) {
    put_files("/d", 40'000);
    mount().list("/d", fs::Listing::plus);
    const auto directory = mount().walk("/d");
    server.clear_calls();
    std::size_t recalled = 0;
    for (int i = 0; i < 40'000; i += 40) {
        const auto before = lookups();
        ASSERT_TRUE(mount().lookup(directory, "file-" + std::to_string(i)));
        if (lookups() == before) ++recalled;
    }
    EXPECT_LE(recalled * 40, fs::NamesBudget::kMost + 2000);
}

}  // namespace
}  // namespace uidnfs::test
