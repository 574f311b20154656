// SPDX-License-Identifier: Apache-2.0
// Bytes that applications were told are written and that are held here still: what others write
// meanwhile, times that are set meanwhile, servers and workers that die meanwhile.
#include "fs/fixture.hpp"

namespace uidnfs::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMegabyte = 1 << 20;
constexpr std::int64_t kLongAgo = 1'000'000;

class HeldBytes : public FsTest {
protected:
    /// By another client, closed.
    void overwrite_elsewhere(std::string_view path, const std::string& bytes) {
        auto& other = second();
        const auto file = other.open_file(path);
        other.write_at(file, 0, bytes);
        ASSERT_EQ(other.close_file(file), 0);
    }
    int set_mtime(std::string_view path) {
        fs::SetAttrRequest request;
        request.mtime = {fs::SetAttrRequest::TimeRequest::How::set, {kLongAgo, 0}};
        return mount().set_attributes(path, request);
    }
};

TEST_F(HeldBytes, an_open_sees_what_another_client_closed_over_them) {
    auto& m = mount();
    const auto writer = write_unstable("/a", 1);
    overwrite_elsewhere("/a", "LATER");
    const auto reader = m.open_file("/a", O_RDONLY);
    EXPECT_EQ(m.read_at(reader, 0, 5), "LATER");
    ASSERT_EQ(m.fsync_file(writer), 0);
    m.close_file(writer);
    EXPECT_EQ(server.content("/a").substr(0, 5), "LATER");
    EXPECT_EQ(m.read_at(reader, 0, 5), "LATER");
    m.close_file(reader);
    EXPECT_EQ(m.content_of("/a").substr(0, 5), "LATER");
}

TEST_F(HeldBytes, a_file_that_was_open_shows_it_once_its_attributes_do) {
    auto& m = mount();
    const auto writer = write_unstable("/a", 1);
    overwrite_elsewhere("/a", "LATER");
    world.clock.advance(100s);
    m.stat_of("/a");
    EXPECT_EQ(m.read_at(writer, 0, 5), "LATER");
    m.close_file(writer);
}

TEST_F(HeldBytes, what_is_written_after_it_is_known_is_newer) {
    auto& m = mount();
    const auto writer = write_unstable("/a", 1);
    overwrite_elsewhere("/a", "LATER");
    const auto reader = m.open_file("/a", O_RDONLY);
    m.write_at(writer, 0, "NEWER");
    EXPECT_EQ(m.read_at(reader, 0, 5), "NEWER");
    m.close_file(writer);
    m.close_file(reader);
    EXPECT_EQ(server.content("/a").substr(0, 5), "NEWER");
}

TEST_F(HeldBytes, behind_a_close_they_do_not_hide_a_shorter_file) {
    options.commit_on = fs::CommitOn::behind;
    auto& m = mount();
    ASSERT_EQ(m.close_file(write_unstable("/a", 2)), 0);
    second().make_file("/a", "later");
    ASSERT_EQ(server.content("/a"), "later");
    EXPECT_EQ(m.content_of("/a"), "later");
    EXPECT_EQ(m.stat_of("/a").st_size, 5);
}

TEST_F(HeldBytes, stat_shows_the_size_that_another_client_left) {
    auto& m = mount();
    const auto writer = write_unstable("/a", 2);
    fs::SetAttrRequest request;
    request.size = 10;
    ASSERT_EQ(second().set_attributes("/a", request), 0);
    world.clock.advance(100s);
    EXPECT_EQ(m.stat_of("/a").st_size, 10);
    m.close_file(writer);
    EXPECT_EQ(server.content("/a").size(), 10u);
}

TEST_F(HeldBytes, times_that_are_set_outlive_a_restart_of_the_server) {
    auto& m = mount();
    const auto file = write_unstable("/a", 2);
    ASSERT_EQ(set_mtime("/a"), 0);
    server.crash();
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.attr("/a").mtime.seconds, kLongAgo);
    EXPECT_EQ(server.content("/a").size(), 2 * kMegabyte);
}

TEST_F(HeldBytes, a_mode_that_is_set_outlives_a_restart_of_the_server) {
    auto& m = mount();
    const auto file = write_unstable("/a", 2);
    ASSERT_EQ(m.chmod_path("/a", 04755), 0);
    server.crash();
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.attr("/a").mode, 04755u);
}

TEST_F(HeldBytes, times_that_are_set_outlive_the_worker) {
    auto& m = mount();
    const auto file = write_unstable("/a", 2);
    ASSERT_EQ(set_mtime("/a"), 0);
    m.kill_and_restart();
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.attr("/a").mtime.seconds, kLongAgo);
}

TEST_F(HeldBytes, behind_a_close_times_outlive_the_worker_too) {
    options.commit_on = fs::CommitOn::behind;
    auto& m = mount();
    ASSERT_EQ(m.close_file(write_unstable("/a", 2)), 0);
    ASSERT_EQ(set_mtime("/a"), 0);
    m.kill_and_restart();
    m.drain();
    EXPECT_EQ(server.attr("/a").mtime.seconds, kLongAgo);
}

TEST_F(HeldBytes, the_next_worker_sends_nothing_again_that_the_server_has) {
    auto& m = mount();
    const auto file = write_unstable("/a", 2);
    overwrite_elsewhere("/a", "LATER");
    const auto writes = count(Procedure::write);
    m.kill_and_restart();
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.content("/a").substr(0, 5), "LATER");
    EXPECT_EQ(count(Procedure::write), writes);
    EXPECT_EQ(server.uncommitted_bytes(), 0u);
}

TEST_F(HeldBytes, an_open_after_the_workers_death_sees_what_another_client_closed) {
    auto& m = mount();
    const auto file = write_unstable("/a", 2);
    overwrite_elsewhere("/a", "LATER");
    m.kill_and_restart();
    const auto reader = m.open_file("/a", O_RDONLY);
    EXPECT_EQ(m.read_at(reader, 0, 5), "LATER");
    m.close_file(reader);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.content("/a").substr(0, 5), "LATER");
}

TEST_F(HeldBytes, the_next_worker_sends_again_what_the_server_lost) {
    auto& m = mount();
    const auto file = write_unstable("/a", 2);
    server.crash();
    ASSERT_TRUE(server.content("/a").empty());
    m.kill_and_restart();
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.content("/a"), std::string(kMegabyte, 'a') + std::string(kMegabyte, 'b'));
    EXPECT_EQ(server.uncommitted_bytes(), 0u);
}

TEST_F(HeldBytes, an_append_whose_worker_died_before_it_said_so_is_not_made_twice) {
    auto& m = mount();
    m.make_file("/a", "12345");
    const auto file = m.open_file("/a", O_WRONLY | O_APPEND);
    core::ProgressRecord record{};
    const auto append = [&] {
        auto done = m.run(m.fs().write(
            file.open,
            5,
            m.payload("x"),
            fs::WriteOrigin::application,
            core::Progress(record),
            O_WRONLY | O_APPEND
        ));
        return errno_of(done);
    };
    ASSERT_EQ(append(), 0);
    // As the arena is when the worker dies between the two.
    record.steps = core::ProgressRecord::kPlanned;
    m.kill_and_restart();
    ASSERT_EQ(append(), 0);
    m.close_file(file);
    EXPECT_EQ(server.content("/a"), "12345x");
}

}  // namespace
}  // namespace uidnfs::test
