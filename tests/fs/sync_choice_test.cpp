// SPDX-License-Identifier: Apache-2.0
// How small files get to the server's disk, by what the server is faster at.
#include "fs/sync_choice.hpp"

#include "fs/fixture.hpp"

namespace uidnfs::test {
namespace {

using fs::SyncChoice;
using std::chrono::microseconds;
using Way = SyncChoice::Way;

/// How many of `count` flushes go UNSTABLE and COMMIT on a server that takes so long for each.
int commits(SyncChoice& choice, int count, microseconds file_sync, microseconds commit) {
    int seen = 0;
    for (int i = 0; i < count; ++i) {
        const auto way = choice.next();
        seen += way == Way::commit;
        choice.took(way, way == Way::commit ? commit : file_sync);
    }
    return seen;
}

TEST(SyncChoice, one_call_is_preferred_until_two_are_clearly_faster) {
    SyncChoice choice;
    EXPECT_LE(commits(choice, 1000, microseconds(1000), microseconds(900)), 25);
    EXPECT_EQ(choice.preferred(), Way::file_sync);
}

TEST(SyncChoice, a_way_that_takes_twice_the_time_is_tried_seldom) {
    SyncChoice choice;
    EXPECT_LE(commits(choice, 100, microseconds(5600), microseconds(11200)), 2);
    // One bad measurement does not decide for ever.
    commits(choice, 1000, microseconds(5600), microseconds(3000));
    EXPECT_EQ(choice.preferred(), Way::commit);
}

TEST(SyncChoice, the_faster_way_is_found_and_kept) {
    SyncChoice choice;
    commits(choice, 80, microseconds(3000), microseconds(700));
    EXPECT_EQ(choice.preferred(), Way::commit);
    EXPECT_GE(commits(choice, 1000, microseconds(3000), microseconds(700)), 950);
}

TEST(SyncChoice, a_server_that_changes_changes_the_choice) {
    SyncChoice choice;
    commits(choice, 200, microseconds(3000), microseconds(700));
    commits(choice, 2000, microseconds(500), microseconds(700));
    EXPECT_EQ(choice.preferred(), Way::file_sync);
}

TEST(SyncChoice, a_single_slow_sync_changes_nothing) {
    SyncChoice choice;
    commits(choice, 200, microseconds(500), microseconds(600));
    choice.took(Way::file_sync, microseconds(1500));
    EXPECT_EQ(choice.preferred(), Way::file_sync);
}

TEST(SyncChoice, an_outage_is_no_measure_of_a_way) {
    SyncChoice choice;
    commits(choice, 200, microseconds(500), microseconds(900));
    choice.took(Way::file_sync, std::chrono::seconds(60));
    EXPECT_LE(choice.mean(Way::file_sync), microseconds(700));
    EXPECT_EQ(choice.preferred(), Way::file_sync);
}

class SmallFiles : public FsTest {};

TEST_F(SmallFiles, a_new_file_with_content_costs_two_calls) {
    auto& m = mount();
    ASSERT_EQ(m.make_dir("/d"), 0);
    m.walk("/d");
    const auto directory = m.walk("/d");
    m.lookup(directory, "absent");
    server.clear_calls();
    constexpr int kFiles = 100;
    for (int i = 0; i < kFiles; ++i) {
        const auto name = "file-" + std::to_string(i);
        ASSERT_EQ(m.lookup(directory, name)->id, 0u);
        const auto made = m.run(m.fs().create(m.caller, directory, name, 0644, O_WRONLY | O_CREAT));
        ASSERT_TRUE(made);
        const File file{made->entry.id, made->open.open, made->open.pages, made->open.caching};
        m.write_at(file, 0, std::string(4096, 'x'));
        ASSERT_EQ(m.close_file(file), 0);
        ASSERT_EQ(server.disk_content("/d/" + name).size(), 4096u) << "on the disk after close";
    }
    EXPECT_LE(count_all(), 2 * kFiles + kFiles / 10u);
}

TEST_F(SmallFiles, mode_and_times_set_before_the_close_cost_no_commit) {
    auto& m = mount();
    m.make_dir("/d");
    m.lookup(m.walk("/d"), "absent");
    server.clear_calls();
    constexpr int kFiles = 100;
    for (int i = 0; i < kFiles; ++i) {
        const auto path = "/d/file-" + std::to_string(i);
        const auto file = m.create_file(path, O_WRONLY);
        m.write_at(file, 0, "content");
        fs::SetAttrRequest times;
        times.open = file.open;
        times.mtime = {fs::SetAttrRequest::TimeRequest::How::set, {1'000'000'000, 0}};
        ASSERT_TRUE(m.run(m.fs().setattr(m.caller, file.inode, times)));
        ASSERT_EQ(m.close_file(file), 0);
        ASSERT_EQ(server.disk_content(path), "content");
        ASSERT_EQ(server.attr(path).mtime.seconds, 1'000'000'000u);
    }
    EXPECT_LE(count(Procedure::commit), 4u);
    EXPECT_EQ(count(Procedure::write), 100u);
    EXPECT_EQ(count(Procedure::setattr), 100u);
}

TEST_F(SmallFiles, an_exclusive_one_costs_one_call_more_and_no_more_waiting) {
    auto& m = mount();
    m.make_dir("/d");
    m.lookup(m.walk("/d"), "absent");
    server.clear_calls();
    m.client().forget_most();
    constexpr int kFiles = 100;
    for (int i = 0; i < kFiles; ++i) {
        const auto file = m.create_file("/d/file-" + std::to_string(i), O_WRONLY | O_EXCL);
        m.write_at(file, 0, "content");
        ASSERT_EQ(m.close_file(file), 0);
    }
    EXPECT_LE(count_all(), 3 * kFiles + kFiles / 10u);
    EXPECT_EQ(m.client().most_in_flight(), 2u) << "SETATTR and WRITE";
}

TEST_F(SmallFiles, a_flush_that_fails_is_not_measured) {
    auto& m = mount();
    m.make_file("/a", "x");
    const auto before = m.fs().status().small_files.mean(Way::file_sync);
    server.inject({.procedure = Procedure::write, .fail = Status::nospc});
    const auto file = m.open_file("/a", O_WRONLY);
    m.write_at(file, 0, "more");
    EXPECT_EQ(m.close_file(file), ENOSPC);
    EXPECT_EQ(m.fs().status().small_files.mean(Way::file_sync), before);
}

TEST_F(SmallFiles, names_are_moved_and_removed_by_one_call_each) {
    auto& m = mount();
    ASSERT_EQ(m.make_dir("/d"), 0);
    const auto directory = m.walk("/d");
    for (int i = 0; i < 20; ++i) m.make_file("/d/file-" + std::to_string(i), "x");
    server.clear_calls();
    for (int i = 0; i < 20; ++i) {
        const auto name = "file-" + std::to_string(i);
        const auto moved = m.run(m.fs().rename(
            m.caller, directory, name, directory, "moved-" + name, fs::RenameMode::replace
        ));
        ASSERT_TRUE(moved);
        ASSERT_TRUE(m.run(m.fs().unlink(m.caller, directory, "moved-" + name)));
    }
    EXPECT_EQ(count_all(), 40u);
}

}  // namespace
}  // namespace uidnfs::test
