// SPDX-License-Identifier: Apache-2.0
// What was acknowledged as durable survives the server's crash; what cannot be written is told, once to
// each open file, and never lost in silence.
#include "fs/fixture.hpp"

namespace uidnfs::test {
namespace {

constexpr std::size_t kMegabyte = 1 << 20;

class Durability : public FsTest {
protected:
    static std::string letters(std::size_t megabytes) {
        std::string out;
        for (std::size_t i = 0; i < megabytes; ++i) {
            out += std::string(kMegabyte, static_cast<char>('a' + i));
        }
        return out;
    }
};

TEST_F(Durability, close_commits) {
    const auto file = write_unstable("/a", 3);
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.uncommitted_bytes(), 0u);
    EXPECT_GE(count(Procedure::commit), 1u);
    server.crash();
    EXPECT_EQ(server.content("/a"), letters(3));
}

TEST_F(Durability, fsync_commits) {
    const auto file = write_unstable("/a", 2);
    EXPECT_EQ(mount().fsync_file(file), 0);
    server.crash();
    EXPECT_EQ(server.content("/a"), letters(2));
    mount().close_file(file);
}

TEST_F(Durability, crash_before_fsync_is_repaired_from_memory) {
    const auto file = write_unstable("/a", 4);
    server.crash();
    EXPECT_EQ(server.content("/a"), "");
    EXPECT_EQ(mount().fsync_file(file), 0);
    server.crash();
    EXPECT_EQ(server.content("/a"), letters(4));
    EXPECT_EQ(mount().close_file(file), 0);
}

TEST_F(Durability, crash_between_two_writes_is_repaired) {
    auto& m = mount();
    const auto file = write_unstable("/a", 2);
    server.crash();
    m.write_at(file, 2 * kMegabyte, std::string(kMegabyte, 'c'));
    EXPECT_EQ(m.close_file(file), 0);
    server.crash();
    EXPECT_EQ(server.content("/a"), letters(3));
}

TEST_F(Durability, crash_between_last_write_and_commit) {
    auto& m = mount();
    const auto file = write_unstable("/a", 2);
    server.inject({.procedure = Procedure::commit, .before = [&] { server.crash(); }});
    EXPECT_EQ(m.close_file(file), 0);
    server.crash();
    EXPECT_EQ(server.content("/a"), letters(2));
}

TEST_F(Durability, crash_at_every_commit_for_a_while) {
    auto& m = mount();
    const auto file = write_unstable("/a", 2);
    server.inject({.procedure = Procedure::commit, .times = 5, .before = [&] { server.crash(); }});
    EXPECT_EQ(m.close_file(file), 0);
    server.crash();
    EXPECT_EQ(server.content("/a"), letters(2));
}

TEST_F(Durability, new_verifier_without_loss_is_treated_as_loss) {
    const auto file = write_unstable("/a", 2);
    server.change_verifier();
    server.clear_calls();
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_GE(count(Procedure::write), 2u);
    EXPECT_EQ(server.disk_content("/a"), letters(2));
}

TEST_F(Durability, a_verifier_that_is_always_another_is_not_asked_for_ever) {
    const auto file = write_unstable("/a", 3);
    server.clear_calls();
    server.inject({.procedure = Procedure::commit, .times = 100, .before = [&] {
                       server.change_verifier();
                   }});
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_LE(count(Procedure::commit), 4u);
    server.crash();
    EXPECT_EQ(server.content("/a"), letters(3));
}

TEST_F(Durability, bytes_are_readable_between_crash_and_repair) {
    const auto file = write_unstable("/a", 1);
    server.crash();
    EXPECT_EQ(mount().read_at(file, 100, 3), "aaa");
    EXPECT_EQ(mount().stat_id(file.inode).st_size, static_cast<off_t>(kMegabyte));
    EXPECT_EQ(mount().close_file(file), 0);
}

TEST_F(Durability, server_that_writes_through_needs_no_commit) {
    server.adjust([](Behaviour& behaviour) {
        behaviour.least_stability = nfs::Stability::file_sync;
    });
    auto& m = mount();
    const auto file = m.create_file("/a");
    for (std::size_t i = 0; i < 3; ++i) {
        m.write_at(file, i * kMegabyte, std::string(kMegabyte, static_cast<char>('a' + i)));
    }
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(count(Procedure::commit), 0u);
    EXPECT_EQ(server.disk_content("/a"), letters(3));
}

TEST_F(Durability, unsent_bytes_flow_after_a_second_and_are_committed_after_five) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "small");
    world.serve_for(std::chrono::milliseconds(600));
    EXPECT_EQ(count(Procedure::write), 0u);
    world.clock.advance(std::chrono::milliseconds(1500));
    world.serve_until([&] { return count(Procedure::write) == 1 && m.client().in_flight() == 0; });
    world.clock.advance(std::chrono::milliseconds(5500));
    world.serve_until([&] { return count(Procedure::commit) == 1; });
    world.serve_until([&] { return m.fs().status().bytes_not_committed == 0; });
    EXPECT_EQ(server.disk_content("/a"), "small");
    m.close_file(file);
}

TEST_F(Durability, what_is_left_over_of_a_full_write_flows_after_a_second_too) {
    server.adjust([](Behaviour& behaviour) { behaviour.write_max = 64u << 10; });
    auto& m = mount();
    const auto file = m.create_file("/log");
    std::string expected;
    while (expected.size() < 64u << 10) {
        const std::string line(1000, static_cast<char>('a' + expected.size() % 26));
        m.write_at(file, expected.size(), line);
        expected += line;
    }
    world.serve_until([&] { return count(Procedure::write) == 1 && m.client().in_flight() == 0; });
    ASSERT_LT(server.attr("/log").size, expected.size());
    world.clock.advance(std::chrono::milliseconds(1500));
    world.serve_for(std::chrono::milliseconds(600));
    EXPECT_EQ(server.content("/log"), expected);
    m.close_file(file);
}

TEST_F(Durability, what_a_truncate_leaves_is_committed_after_five_seconds_too) {
    auto& m = mount();
    const auto file = write_unstable("/a", 1);
    EXPECT_EQ(m.truncate_open(file, 1000), 0);
    world.clock.advance(std::chrono::milliseconds(5500));
    world.serve_for(std::chrono::milliseconds(600));
    EXPECT_EQ(m.fs().status().bytes_not_committed, 0u);
    EXPECT_EQ(server.disk_content("/a"), std::string(1000, 'a'));
    m.close_file(file);
}

TEST_F(Durability, commit_behind_lets_close_wait_for_the_server_only) {
    options.commit_on = fs::CommitOn::behind;
    const auto file = write_unstable("/a", 2);
    server.clear_calls();
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(count(Procedure::commit), 0u);
    EXPECT_EQ(server.content("/a"), letters(2));
    server.crash();
    world.serve_until([&] {
        world.clock.advance(std::chrono::seconds(3));
        return mount().fs().status().bytes_not_committed == 0;
    });
    EXPECT_EQ(server.disk_content("/a"), letters(2));
}

TEST_F(Durability, commit_behind_fsync_still_commits) {
    options.commit_on = fs::CommitOn::behind;
    const auto file = write_unstable("/a", 2);
    EXPECT_EQ(mount().fsync_file(file), 0);
    EXPECT_EQ(server.uncommitted_bytes(), 0u);
    mount().close_file(file);
}

TEST_F(Durability, sync_mount_has_every_write_on_disk_before_it_answers) {
    options.write_mode = fs::WriteMode::sync;
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "one");
    EXPECT_EQ(server.disk_content("/a"), "one");
    m.write_at(file, 3, std::string(3 * kMegabyte, 'x'));
    EXPECT_EQ(server.uncommitted_bytes(), 0u);
    EXPECT_EQ(server.attr("/a").size, 3 + 3 * kMegabyte);
    m.close_file(file);
}

TEST_F(Durability, o_sync_and_o_dsync_have_every_write_on_disk) {
    auto& m = mount();
    for (const int flag : {O_SYNC, O_DSYNC}) {
        const auto file = m.create_file("/a", O_RDWR | O_TRUNC | flag);
        m.write_at(file, 0, "one");
        EXPECT_EQ(server.disk_content("/a"), "one");
        m.close_file(file);
    }
}

TEST_F(Durability, write_error_is_told_at_close) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "x");
    server.inject({.procedure = Procedure::write, .fail = Status::io});
    EXPECT_EQ(m.flush_file(file), EIO);
    EXPECT_EQ(m.flush_file(file), 0) << "told once";
    m.release_file(file);
}

TEST_F(Durability, write_error_is_told_at_fsync_once) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "x");
    server.inject({.procedure = Procedure::write, .fail = Status::dquot});
    EXPECT_EQ(m.fsync_file(file), EDQUOT);
    EXPECT_EQ(m.fsync_file(file), 0);
    EXPECT_EQ(m.close_file(file), 0);
}

TEST_F(Durability, write_error_is_told_to_each_open_file) {
    auto& m = mount();
    const auto first = m.create_file("/a");
    const auto other = m.open_file("/a");
    m.write_at(first, 0, "x");
    server.inject({.procedure = Procedure::write, .fail = Status::io});
    EXPECT_EQ(m.fsync_file(first), EIO);
    EXPECT_EQ(m.fsync_file(other), EIO);
    EXPECT_EQ(m.fsync_file(first), 0);
    EXPECT_EQ(m.fsync_file(other), 0);
    const auto later = m.open_file("/a");
    EXPECT_EQ(m.fsync_file(later), 0) << "it was opened after the error was heard";
    for (const auto& file : {first, other, later}) m.close_file(file);
}

TEST_F(Durability, error_that_nobody_heard_waits_for_the_next_open) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "x");
    server.inject({.procedure = Procedure::write, .fail = Status::io});
    world.clock.advance(std::chrono::seconds(2));
    world.serve_until([&] { return m.fs().status().write_errors == 1; });
    m.release_file(file);  // without flush: the process was killed
    const auto next = m.open_file("/a");
    EXPECT_EQ(m.fsync_file(next), EIO);
    m.close_file(next);
}

TEST_F(Durability, commit_error_is_told) {
    auto& m = mount();
    const auto file = write_unstable("/a", 2);
    server.inject({.procedure = Procedure::commit, .fail = Status::io});
    EXPECT_EQ(m.close_file(file), EIO);
}

TEST_F(Durability, after_a_write_error_the_mount_goes_on) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "lost");
    server.inject({.procedure = Procedure::write, .fail = Status::io});
    EXPECT_EQ(m.fsync_file(file), EIO);
    m.write_at(file, 0, "good");
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), "good");
    m.make_file("/b", "other");
    EXPECT_EQ(server.disk_content("/b"), "other");
}

TEST_F(Durability, full_disk_is_told_and_later_writes_are_told_early) {
    server.adjust([](Behaviour& behaviour) { behaviour.capacity = 2 * kMegabyte; });
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, std::string(kMegabyte, 'a'));
    for (std::size_t i = 1; i < 4; ++i) {
        m.try_write(file, i * kMegabyte, std::string(kMegabyte, 'b'));
    }
    EXPECT_EQ(m.fsync_file(file), ENOSPC);
    EXPECT_EQ(errno_of(m.try_write(file, 5 * kMegabyte, std::string(kMegabyte, 'c'))), ENOSPC);
    m.close_file(file);
}

TEST_F(Durability, more_bytes_than_the_budget_go_through) {
    options.write_behind = 4 * kMegabyte;
    auto& m = mount();
    const auto file = m.create_file("/a");
    for (std::size_t i = 0; i < 20; ++i) {
        m.write_at(file, i * kMegabyte, std::string(kMegabyte, static_cast<char>('a' + i)));
        EXPECT_LE(m.fs().status().bytes_not_committed, 6 * kMegabyte);
    }
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), letters(20));
}

TEST_F(Durability, many_small_writes_beyond_the_budget_go_through) {
    options.write_behind = 1 * kMegabyte;
    auto& m = mount();
    const auto file = m.create_file("/a");
    std::string expected;
    for (std::size_t i = 0; i < 3000; ++i) {
        const std::string piece(1000, static_cast<char>('a' + i % 26));
        m.write_at(file, expected.size(), piece);
        expected += piece;
    }
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), expected);
}

TEST_F(Durability, page_write_back_is_taken_beyond_the_budget) {
    options.write_behind = 2 * kMegabyte;
    auto& m = mount();
    const auto file = m.create_file("/a");
    server.inject({.procedure = Procedure::write, .times = 1000, .reply = Fault::Reply::ignored});
    for (std::size_t i = 0; i < 8; ++i) {
        const auto origin = fs::WriteOrigin::page_cache;
        const auto data = m.payload(std::string(kMegabyte, static_cast<char>('a' + i)));
        ASSERT_EQ(errno_of(m.run(m.fs().write(file.open, i * kMegabyte, data, origin))), 0);
    }
    server.forget_faults();
    m.client().resend_ignored();
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), letters(8));
}

TEST_F(Durability, drain_brings_everything_to_disk) {
    auto& m = mount();
    const auto first = m.create_file("/a");
    m.write_at(first, 0, "unsent");
    const auto other = write_unstable("/b", 2);
    m.drain();
    EXPECT_EQ(server.disk_content("/a"), "unsent");
    EXPECT_EQ(server.disk_content("/b"), letters(2));
    m.close_file(first);
    m.close_file(other);
}

TEST_F(Durability, drain_gives_up_at_its_deadline_and_says_on_what) {
    auto& m = mount();
    const auto file = m.create_file("/name");
    m.write_at(file, 10, "unsent");
    server.inject({.times = 1000, .reply = Fault::Reply::ignored});
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
    const auto lost = m.run(m.fs().drain(deadline));
    ASSERT_EQ(lost.size(), 1u);
    EXPECT_EQ(lost[0].path, "name");
    EXPECT_EQ(lost[0].offset, 10u);
    EXPECT_EQ(lost[0].length, 6u);
    EXPECT_EQ(lost[0].fileid, server.attr("/name").fileid);
    server.forget_faults();
    m.client().resend_ignored();
    m.close_file(file);
}

TEST_F(Durability, what_is_given_up_has_the_name_that_the_file_got_last) {
    auto& m = mount();
    const auto file = m.create_file("/new");
    m.write_at(file, 10, "unsent");
    EXPECT_EQ(m.rename_path("/new", "/name"), 0);
    server.inject({.times = 1000, .reply = Fault::Reply::ignored});
    const auto lost = [&] {
        const auto soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
        const auto ranges = m.run(m.fs().drain(soon));
        return ranges.empty() ? "nothing" : ranges[0].path;
    };
    EXPECT_EQ(lost(), "name");
    m.kill_and_restart();
    EXPECT_EQ(lost(), "name") << "the next worker knows no names";
    server.forget_faults();
    m.client().resend_ignored();
    m.close_file(file);
}

TEST_F(Durability, bytes_of_a_killed_worker_are_sent_by_the_next) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "never sent");
    m.kill_and_restart();
    m.drain();
    EXPECT_EQ(server.disk_content("/a"), "never sent");
}

TEST_F(Durability, uncommitted_bytes_of_a_killed_worker_survive_a_server_crash) {
    auto& m = mount();
    write_unstable("/a", 3);
    m.kill_and_restart();
    server.crash();
    m.drain();
    EXPECT_EQ(server.disk_content("/a"), letters(3));
}

}  // namespace
}  // namespace uidnfs::test
