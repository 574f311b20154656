// SPDX-License-Identifier: Apache-2.0
// nfs(5): how long attributes and names are believed, close-to-open, and what our own changes and
// those of others do to what is cached.
#include "fs/fixture.hpp"

#include <unistd.h>

namespace uidnfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Freshness : public FsTest {
protected:
    /// Far enough after the last change for timestamps to be trusted.
    static void settle() { ::usleep(60'000); }
    std::size_t getattrs() const { return count(Procedure::getattr); }
    /// /a, changed twice by another client in one tick of the server's clock, which stands; the
    /// kernel has the first one's pages. A minute later.
    void read_between_two_changes_in_one_tick() {
        server.adjust([](Behaviour& behaviour) { behaviour.tick = milliseconds(4); });
        server.with_clock([](ServerClock& clock) { clock.stop(); });
        server.put_file("/a", "one");
        auto& m = mount();
        const auto file = m.open_file("/a", O_RDWR);
        EXPECT_EQ(m.read_all(file), "one");
        server.overwrite("/a", 0, "two");
        m.close_file(file);
        server.with_clock([](ServerClock& clock) { clock.advance(seconds(60)); });
    }
    void expect_second_change(std::string_view path) {
        world.clock.advance(seconds(100));
        const auto again = mount().open_file(path, O_RDONLY);
        EXPECT_EQ(again.pages, fs::Pages::drop) << "they are from before it";
        EXPECT_EQ(mount().read_all(again), "two");
        mount().close_file(again);
    }
};

TEST_F(Freshness, attributes_are_believed_for_the_minimum_then_asked_again) {
    server.put_file("/a", "x");
    const auto id = mount().walk("/a");
    mount().stat_id(id);
    server.clear_calls();
    world.clock.advance(milliseconds(2900));
    mount().stat_id(id);
    EXPECT_EQ(getattrs(), 0u);
    world.clock.advance(milliseconds(200));
    mount().stat_id(id);
    EXPECT_EQ(getattrs(), 1u);
}

TEST_F(Freshness, period_doubles_while_nothing_changes_up_to_the_maximum) {
    server.put_file("/a", "x");
    const auto id = mount().walk("/a");
    for (const int period : {3, 6, 12, 24, 48, 60, 60}) {
        server.clear_calls();
        world.clock.advance(seconds(period) - milliseconds(1));
        mount().stat_id(id);
        EXPECT_EQ(getattrs(), 0u) << period;
        world.clock.advance(milliseconds(2));
        mount().stat_id(id);
        EXPECT_EQ(getattrs(), 1u) << period;
    }
}

TEST_F(Freshness, change_begins_again_at_the_minimum) {
    server.put_file("/a", "x");
    const auto id = mount().walk("/a");
    for (int i = 0; i < 6; ++i) {
        world.clock.advance(seconds(61));
        mount().stat_id(id);
    }
    server.overwrite("/a", 0, "y");
    world.clock.advance(seconds(61));
    mount().stat_id(id);
    server.clear_calls();
    world.clock.advance(milliseconds(3100));
    mount().stat_id(id);
    EXPECT_EQ(getattrs(), 1u);
}

TEST_F(Freshness, directories_have_periods_of_their_own) {
    server.put_directory("/d");
    const auto id = mount().walk("/d");
    server.clear_calls();
    world.clock.advance(seconds(29));
    mount().stat_id(id);
    EXPECT_EQ(getattrs(), 0u);
    world.clock.advance(seconds(2));
    mount().stat_id(id);
    EXPECT_EQ(getattrs(), 1u);
}

TEST_F(Freshness, kernel_gets_the_remaining_time_not_a_second_period) {
    server.put_file("/a", "x");
    auto& m = mount();
    const auto id = m.walk("/a");
    world.clock.advance(milliseconds(1000));
    const auto reply = m.run(m.fs().getattr(m.caller, id));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->attr_valid, milliseconds(2000));
}

TEST_F(Freshness, entry_is_valid_as_long_as_its_directory) {
    server.put_file("/a", "x");
    auto& m = mount();
    m.lookup(fs::kRootId, "a");
    world.clock.advance(seconds(10));
    const auto entry = m.lookup(fs::kRootId, "a");
    ASSERT_TRUE(entry);
    EXPECT_LE(entry->entry_valid, seconds(60));
    EXPECT_GT(entry->entry_valid, seconds(0));
}

TEST_F(Freshness, a_name_of_a_file_with_unsent_data_promises_no_attributes) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "x");
    EXPECT_EQ(m.lookup(fs::kRootId, "a")->attr_valid, milliseconds(0));
    m.stat_id(file.inode);  // sends it
    EXPECT_GT(m.lookup(fs::kRootId, "a")->attr_valid, milliseconds(0));
    EXPECT_EQ(m.close_file(file), 0);
}

TEST_F(Freshness, noac_asks_each_time) {
    options.timers = {milliseconds(0), milliseconds(0), milliseconds(0), milliseconds(0)};
    server.put_file("/a", "x");
    auto& m = mount();
    const auto id = m.walk("/a");
    server.clear_calls();
    m.stat_id(id);
    const auto reply = m.run(m.fs().getattr(m.caller, id));
    EXPECT_EQ(getattrs(), 2u);
    EXPECT_EQ(reply->attr_valid, milliseconds(0));
    EXPECT_EQ(m.lookup(fs::kRootId, "a")->entry_valid, milliseconds(0));
    EXPECT_EQ(m.lookup(fs::kRootId, "a")->attr_valid, milliseconds(0));
}

TEST_F(Freshness, close_to_open_sees_a_foreign_change_at_open) {
    server.put_file("/a", "old!");
    auto& m = mount();
    EXPECT_EQ(m.content_of("/a"), "old!");
    server.overwrite("/a", 0, "new!");
    const auto file = m.open_file("/a", O_RDONLY);
    EXPECT_EQ(file.pages, fs::Pages::drop);
    EXPECT_EQ(m.read_all(file), "new!");
    m.close_file(file);
}

TEST_F(Freshness, pages_are_kept_while_nothing_changed) {
    server.put_file("/a", "x");
    settle();
    auto& m = mount();
    m.content_of("/a");
    const auto file = m.open_file("/a", O_RDONLY);
    EXPECT_EQ(file.pages, fs::Pages::keep);
    m.close_file(file);
}

TEST_F(Freshness, first_open_drops_pages) {
    server.put_file("/a", "x");
    settle();
    const auto file = mount().open_file("/a", O_RDONLY);
    EXPECT_EQ(file.pages, fs::Pages::drop);
    mount().close_file(file);
}

TEST_F(Freshness, every_open_asks_the_server) {
    server.put_file("/a", "x");
    auto& m = mount();
    const auto id = m.walk("/a");
    server.clear_calls();
    for (int i = 0; i < 3; ++i) {
        const auto open = m.run(m.fs().open(m.caller, id, O_RDONLY));
        m.run(m.fs().release(open->open));
    }
    EXPECT_EQ(getattrs(), 3u);
}

TEST_F(Freshness, nocto_does_not_ask_while_attributes_are_fresh) {
    options.close_to_open = fs::CloseToOpen::off;
    server.put_file("/a", "x");
    auto& m = mount();
    const auto id = m.walk("/a");
    m.run(m.fs().access(m.caller, id, R_OK));
    server.clear_calls();
    const auto open = m.run(m.fs().open(m.caller, id, O_RDONLY));
    ASSERT_TRUE(open);
    EXPECT_EQ(count_all(), 0u);
    m.run(m.fs().release(open->open));
    world.clock.advance(seconds(61));
    const auto later = m.run(m.fs().open(m.caller, id, O_RDONLY));
    EXPECT_GE(getattrs(), 1u);
    m.run(m.fs().release(later->open));
}

TEST_F(Freshness, own_writes_keep_own_pages) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "first");
    EXPECT_EQ(m.fsync_file(file), 0);
    m.write_at(file, 5, " second");
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_TRUE(m.invalidated().inodes.empty());
    settle();
    m.content_of("/a");
    settle();
    const auto again = m.open_file("/a", O_RDWR);
    EXPECT_EQ(again.pages, fs::Pages::keep);
    m.write_at(again, 0, "FIRST");
    EXPECT_EQ(m.close_file(again), 0);
    EXPECT_TRUE(m.invalidated().inodes.empty());
    // Pages of a file that was just written are read once more (docs/decisions/0002), then kept.
    settle();
    m.content_of("/a");
    const auto third = m.open_file("/a", O_RDONLY);
    EXPECT_EQ(third.pages, fs::Pages::keep) << "nobody else changed it";
    m.close_file(third);
    EXPECT_TRUE(m.invalidated().inodes.empty());
}

TEST_F(Freshness, own_parallel_writes_keep_own_pages) {
    client_options.travel.most_rounds = 20;
    auto& m = mount();
    const auto file = m.create_file("/a");
    for (int round = 0; round < 3; ++round) {
        for (std::size_t i = 0; i < 12; ++i) {
            m.write_at(file, i << 20, std::string(1 << 20, static_cast<char>('a' + round)));
        }
        EXPECT_EQ(m.fsync_file(file), 0);
        m.stat_id(file.inode);
        world.clock.advance(seconds(100));
        m.stat_id(file.inode);
    }
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_TRUE(m.invalidated().inodes.empty());
}

TEST_F(Freshness, own_chmod_and_truncate_keep_own_pages) {
    auto& m = mount();
    m.make_file("/a", "0123456789");
    const auto file = m.open_file("/a");
    m.invalidated().clear();
    EXPECT_EQ(m.chmod_path("/a", 0600), 0);
    EXPECT_EQ(m.truncate_open(file, 5), 0);
    m.stat_id(file.inode);
    EXPECT_TRUE(m.invalidated().inodes.empty());
    m.close_file(file);
}

TEST_F(Freshness, own_link_and_rename_keep_own_pages) {
    auto& m = mount();
    m.make_file("/a", "content");
    settle();
    m.content_of("/a");
    EXPECT_EQ(m.link_path("/a", "/b"), 0);
    EXPECT_EQ(m.rename_path("/a", "/c"), 0);
    EXPECT_EQ(m.remove_file("/b"), 0);
    const auto file = m.open_file("/c", O_RDONLY);
    EXPECT_EQ(file.pages, fs::Pages::keep);
    EXPECT_TRUE(m.invalidated().inodes.empty());
    m.close_file(file);
}

TEST_F(Freshness, foreign_change_of_an_open_file_drops_its_pages) {
    server.put_file("/a", "old!");
    auto& m = mount();
    const auto file = m.open_file("/a", O_RDONLY);
    m.read_all(file);
    server.overwrite("/a", 0, "new!");
    world.clock.advance(seconds(4));
    m.stat_id(file.inode);
    ASSERT_EQ(m.invalidated().inodes.size(), 1u);
    EXPECT_EQ(m.invalidated().inodes[0].id, file.inode);
    EXPECT_EQ(m.invalidated().inodes[0].offset, 0);
    EXPECT_EQ(m.invalidated().inodes[0].length, 0);
    m.close_file(file);
}

TEST_F(Freshness, foreign_change_of_a_link_drops_what_the_kernel_keeps_of_it) {
    server.put_symlink("/l", "old");
    auto& m = mount();
    const auto id = m.walk("/l");
    m.run(m.fs().readlink(m.caller, id));
    settle();
    fs::SetAttrRequest touched;
    touched.mtime.how = fs::SetAttrRequest::TimeRequest::How::now;
    ASSERT_EQ(second().set_attributes("/l", touched), 0);
    world.clock.advance(seconds(4));
    m.stat_id(id);
    ASSERT_EQ(m.invalidated().inodes.size(), 1u);
    EXPECT_EQ(m.invalidated().inodes[0].id, id);
    EXPECT_EQ(m.invalidated().inodes[0].offset, 0);
    EXPECT_EQ(m.invalidated().inodes[0].length, 0);
}

TEST_F(Freshness, every_foreign_change_of_an_open_file_drops_its_pages) {
    server.put_file("/log", "one");
    auto& m = mount();
    const auto file = m.open_file("/log", O_RDONLY);
    for (std::size_t change = 1; change <= 3; ++change) {
        m.read_all(file);
        server.overwrite("/log", change * 3, "two");
        world.clock.advance(seconds(4));
        m.stat_id(file.inode);
        EXPECT_EQ(m.invalidated().inodes.size(), change);
    }
    m.close_file(file);
}

TEST_F(Freshness, foreign_change_between_two_own_writes_is_noticed) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "ours");
    EXPECT_EQ(m.fsync_file(file), 0);
    server.overwrite("/a", 100, "theirs");
    m.write_at(file, 4, "again");
    EXPECT_EQ(m.fsync_file(file), 0);
    m.stat_id(file.inode);
    EXPECT_EQ(m.invalidated().inodes.size(), 1u);
    EXPECT_EQ(m.read_at(file, 100, 10), "theirs");
    m.close_file(file);
}

TEST_F(Freshness, foreign_change_during_an_own_write_is_noticed) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "ours");
    EXPECT_EQ(m.fsync_file(file), 0);
    m.invalidated().clear();
    server.inject({.procedure = Procedure::write, .before = [&] {
                       server.overwrite("/a", 100, "theirs");
                   }});
    m.write_at(file, 0, "OURS");
    EXPECT_EQ(m.fsync_file(file), 0);
    m.stat_id(file.inode);
    EXPECT_EQ(m.invalidated().inodes.size(), 1u);
    m.close_file(file);
}

TEST_F(Freshness, foreign_change_without_wcc_data_is_noticed_at_the_next_open) {
    server.adjust([](Behaviour& behaviour) {
        behaviour.pre_op_attrs = Presence::never;
        behaviour.post_op_attrs = Presence::never;
    });
    server.put_file("/a", "old!");
    settle();
    auto& m = mount();
    EXPECT_EQ(m.content_of("/a"), "old!");
    server.overwrite("/a", 0, "new!");
    settle();
    const auto file = m.open_file("/a");
    EXPECT_EQ(file.pages, fs::Pages::drop);
    m.close_file(file);
}

TEST_F(Freshness, own_writes_without_wcc_data_are_right_if_not_fast) {
    server.adjust([](Behaviour& behaviour) {
        behaviour.pre_op_attrs = Presence::alternating;
        behaviour.post_op_attrs = Presence::alternating;
    });
    auto& m = mount();
    const auto file = m.create_file("/a");
    for (int i = 0; i < 20; ++i) {
        m.write_at(file, static_cast<std::uint64_t>(i) * 10, "0123456789");
        if (i % 3 == 0) {
            EXPECT_EQ(m.fsync_file(file), 0);
        }
        EXPECT_EQ(m.stat_id(file.inode).st_size, (i + 1) * 10);
    }
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a").size(), 200u);
}

TEST_F(Freshness, own_changes_of_a_directory_keep_its_names) {
    auto& m = mount();
    m.make_file("/a", "x");
    m.lookup(fs::kRootId, "a");
    m.make_file("/b", "x");
    m.make_dir("/d");
    m.remove_file("/b");
    m.rename_path("/a", "/c");
    EXPECT_TRUE(m.invalidated().entries.empty());
    EXPECT_TRUE(m.invalidated().inodes.empty());
    EXPECT_GT(m.lookup(fs::kRootId, "c")->entry_valid.count(), 0);
}

TEST_F(Freshness, two_changes_in_one_tick_are_seen) {
    // ext4 on a kernel of 250 Hz: two changes within 4 ms leave the same mtime.
    // The server's clock is ahead, so that the mtime stays young however slow this machine is.
    server.adjust([](Behaviour& behaviour) { behaviour.tick = milliseconds(4); });
    server.with_clock([](ServerClock& clock) {
        clock.advance(seconds(5));
        clock.stop();
    });
    server.put_file("/a", "one");
    auto& m = mount();
    server.overwrite("/a", 0, "two");
    EXPECT_EQ(m.content_of("/a"), "two");
    server.overwrite("/a", 0, "six");  // same size, same mtime and ctime
    const auto file = m.open_file("/a", O_RDONLY);
    EXPECT_EQ(file.pages, fs::Pages::drop) << "the mtime is too young to be trusted";
    EXPECT_EQ(m.read_all(file), "six");
    m.close_file(file);
}

TEST_F(Freshness, whole_seconds_are_a_tick_whatever_the_server_claims) {
    // NFS-Ganesha on ext4 with inodes of 128 bytes: FSINFO says 100 ns.
    auto& m = mount();
    server.with_clock([](ServerClock& clock) {
        clock.advance(-milliseconds(100));
        clock.set_tick(seconds(1));
        clock.stop();
    });
    server.put_file("/a", "one");
    server.overwrite("/a", 0, "two");
    EXPECT_EQ(m.content_of("/a"), "two");
    server.overwrite("/a", 0, "six");
    const auto file = m.open_file("/a", O_RDONLY);
    EXPECT_EQ(file.pages, fs::Pages::drop);
    EXPECT_EQ(m.read_all(file), "six");
    m.close_file(file);
}

TEST_F(Freshness, racy_file_is_trusted_once_its_mtime_is_old) {
    // Young for half a second, which a busy machine may need for the first read.
    server.with_clock([](ServerClock& clock) { clock.advance(milliseconds(500)); });
    server.put_file("/a", "x");
    auto& m = mount();
    m.content_of("/a");
    ::usleep(600'000);
    const auto first = m.open_file("/a", O_RDONLY);
    EXPECT_EQ(first.pages, fs::Pages::drop);
    m.read_all(first);
    m.close_file(first);
    const auto second_open = m.open_file("/a", O_RDONLY);
    EXPECT_EQ(second_open.pages, fs::Pages::keep);
    m.close_file(second_open);
}

TEST_F(Freshness, young_pages_stay_young_through_a_chmod_of_ours) {
    read_between_two_changes_in_one_tick();
    ASSERT_EQ(mount().chmod_path("/a", 0600), 0);
    expect_second_change("/a");
}

TEST_F(Freshness, young_pages_stay_young_through_a_rename_of_ours) {
    read_between_two_changes_in_one_tick();
    ASSERT_EQ(mount().rename_path("/a", "/b"), 0);
    expect_second_change("/b");
}

TEST_F(Freshness, server_clock_behind_ours_does_not_make_young_files_old) {
    server.with_clock([](ServerClock& clock) { clock.advance(-std::chrono::hours(1)); });
    auto& m = mount();
    m.make_file("/seen", "so that the clocks are compared");
    server.put_file("/a", "one");
    server.with_clock([](ServerClock& clock) { clock.stop(); });
    server.overwrite("/a", 0, "two");
    EXPECT_EQ(m.content_of("/a"), "two");
    server.overwrite("/a", 0, "six");
    const auto file = m.open_file("/a", O_RDONLY);
    EXPECT_EQ(file.pages, fs::Pages::drop);
    m.close_file(file);
}

TEST_F(Freshness, server_clock_set_back_does_not_freeze_attributes) {
    server.put_file("/a", "x");
    auto& m = mount();
    const auto id = m.walk("/a");
    m.stat_id(id);
    server.with_clock([](ServerClock& clock) { clock.advance(-std::chrono::hours(5)); });
    server.put_file("/a", "longer");
    world.clock.advance(seconds(61));
    EXPECT_EQ(m.stat_id(id).st_size, 6);
    const auto file = m.open_file("/a");
    m.write_at(file, 6, "+more");
    EXPECT_EQ(m.close_file(file), 0);
    world.clock.advance(seconds(61));
    EXPECT_EQ(m.stat_id(id).st_size, 11);
}

TEST_F(Freshness, stat_after_write_shows_the_servers_times) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    const auto before = m.stat_id(file.inode);
    m.write_at(file, 0, "x");
    const auto after = m.stat_id(file.inode);
    EXPECT_NE(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
    EXPECT_EQ(after.st_mtim.tv_nsec, server.attr("/a").mtime.nanoseconds);
    m.close_file(file);
}

TEST_F(Freshness, set_times_are_not_undone_by_writes_sent_later) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "unsent when the times are set");
    fs::SetAttrRequest request;
    request.mtime = {fs::SetAttrRequest::TimeRequest::How::set, {1'000'000'000, 42}};
    request.open = file.open;
    EXPECT_EQ(errno_of(m.run(m.fs().setattr(m.caller, file.inode, request))), 0);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.attr("/a").mtime.seconds, 1'000'000'000);
    EXPECT_EQ(m.stat_of("/a").st_mtim.tv_sec, 1'000'000'000);
}

TEST_F(Freshness, reply_that_was_overtaken_does_not_bring_old_attributes_back) {
    client_options.travel.most_rounds = 30;
    auto& m = mount();
    const auto file = m.create_file("/a");
    for (std::uint64_t i = 1; i <= 60; ++i) {
        std::vector<core::Task<core::Result<fs::AttrReply>>> tasks;
        fs::SetAttrRequest request;
        request.size = i * 100;
        request.open = file.open;
        tasks.push_back(m.fs().getattr(m.caller, file.inode));
        tasks.push_back(m.fs().setattr(m.caller, file.inode, request));
        tasks.push_back(m.fs().getattr(m.caller, file.inode));
        world.clock.advance(seconds(1));
        world.run_all(std::move(tasks));
        EXPECT_EQ(m.stat_id(file.inode).st_size, static_cast<off_t>(i * 100));
    }
    m.close_file(file);
}

}  // namespace
}  // namespace uidnfs::test
