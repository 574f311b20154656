// SPDX-License-Identifier: Apache-2.0
// Calls whose callers were killed go on, while the kernel closes and forgets what they are about: their
// records stay where they belong, and those of others are not touched.
#include "fs/arena_check.hpp"
#include "fs/fixture.hpp"
#include "support/tasks.hpp"

namespace uidnfs::test {
namespace {

using namespace std::chrono_literals;

class Forgotten : public FsTest {
protected:
    /// Until its answer, which nobody waits for.
    template <class Start>
    void go_on_alone(Start start) {
        core::spawn([](Forgotten& test, Start begin) -> core::Task<void> {
            auto doing = begin();
            co_await doing;
            ++test.ended_;
        }(*this, std::move(start)));
        world.serve_what_follows();
    }
    void answer() {
        const auto before = ended_;
        server.forget_faults();
        mount().client().resend_ignored();
        world.serve_until([&] { return ended_ > before; });
    }
    void server_is_silent(Procedure procedure) {
        server.inject({.procedure = procedure, .times = 1000, .reply = Fault::Reply::ignored});
    }
    std::string damage() {
        return fs::find_damage(mount().arena(), mapper::RootIdentity::refused).value_or("none");
    }

private:
    unsigned ended_ = 0;
};

TEST_F(Forgotten, a_file_that_is_being_opened) {
    server.put_file("/a", "x");
    auto& m = mount();
    const auto id = m.walk("/a");
    server_is_silent(Procedure::access);
    fs::OpenId opened = 0;
    go_on_alone([&]() -> core::Task<void> {
        auto opening = m.fs().open(m.caller, id, O_RDWR);
        const auto reply = co_await opening;
        if (reply) opened = reply->open;
    });
    m.fs().forget(id, 1);
    answer();
    EXPECT_NE(opened, 0u);
    EXPECT_EQ(damage(), "none");
    m.run([](fs::Filesystem& on, fs::OpenId open) -> core::Task<int> {
        co_await on.release(open);
        co_return 0;
    }(m.fs(), opened));
    EXPECT_EQ(m.fs().status().inodes, 1u) << "the root is left";
}

TEST_F(Forgotten, a_directory_that_is_being_opened) {
    server.put_directory("/d");
    auto& m = mount();
    const auto id = m.walk("/d");
    server_is_silent(Procedure::access);
    fs::OpenId opened = 0;
    go_on_alone([&]() -> core::Task<void> {
        auto opening = m.fs().opendir(m.caller, id);
        const auto reply = co_await opening;
        if (reply) opened = reply->open;
    });
    m.fs().forget(id, 1);
    answer();
    EXPECT_NE(opened, 0u);
    EXPECT_EQ(damage(), "none");
    m.fs().releasedir(opened);
    EXPECT_EQ(m.fs().status().inodes, 1u);
}

TEST_F(Forgotten, a_file_whose_first_bytes_wait_for_room) {
    options.write_behind = 1 << 20;
    auto& m = mount();
    const auto big = m.create_file("/big");
    const auto file = m.create_file("/a");
    server_is_silent(Procedure::write);
    m.write_at(big, 0, std::string(1 << 20, 'b'));
    go_on_alone([&]() -> core::Task<void> {
        auto writing =
            m.fs().write(file.open, 0, m.payload("late"), fs::WriteOrigin::application);
        co_await writing;
    });
    m.release_file(file);
    m.fs().forget(file.inode, 1);
    answer();
    EXPECT_EQ(damage(), "none");
    m.kill_and_restart();
    m.drain();
    EXPECT_EQ(server.content("/a"), "late");
    m.close_file(big);
}

TEST_F(Forgotten, a_file_that_gets_a_silly_name) {
    auto& m = mount();
    m.make_dir("/d");
    const auto file = m.create_file("/d/a");
    const auto parent = m.walk("/d");
    server_is_silent(Procedure::rename);
    go_on_alone([&]() -> core::Task<void> {
        auto removing = m.fs().unlink(m.caller, parent, "a");
        co_await removing;
    });
    m.release_file(file);
    m.fs().forget(file.inode, 100);
    m.fs().forget(parent, 100);
    EXPECT_EQ(damage(), "none");
    answer();
    world.serve_until([&] { return m.client().in_flight() == 0; });
    EXPECT_EQ(damage(), "none");
    EXPECT_TRUE(server.names("/d").empty());
    EXPECT_EQ(m.fs().status().inodes, 1u);
}

TEST_F(Forgotten, a_file_that_is_being_linked) {
    server.put_file("/a", "x");
    auto& m = mount();
    const auto id = m.walk("/a");
    server_is_silent(Procedure::link);
    go_on_alone([&]() -> core::Task<void> {
        auto linking = m.fs().link(m.caller, id, fs::kRootId, "b");
        const auto linked = co_await linking;
        if (linked) m.fs().forget(linked->id, 1);  // nobody waits for it
    });
    m.fs().forget(id, 1);
    server.put_file("/other", "y");
    const auto other = m.walk("/other");
    m.walk("/other");
    answer();
    m.kill_and_restart();
    m.fs().forget(other, 1);
    EXPECT_EQ(m.stat_id(other).st_size, 1) << "the kernel has it once more";
}

TEST_F(Forgotten, bytes_on_their_way_to_a_removed_file_fail_for_no_other) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, std::string(1 << 20, 'x'));
    m.release_file(file);  // killed
    server.inject(
        {.procedure = Procedure::write, .fail = Status::stale, .hold_reply = 50ms}
    );
    world.clock.advance(2s);
    world.serve_until([&] { return count(Procedure::write) > 0; });
    ASSERT_EQ(errno_of(m.run(m.fs().unlink(m.caller, fs::kRootId, "a"))), 0);
    m.fs().forget(file.inode, 1);
    const auto other = m.create_file("/b");
    world.serve_until([&] { return m.client().in_flight() == 0; });
    world.serve_what_follows();
    m.kill_and_restart();
    EXPECT_EQ(m.fsync_file(other), 0);
    m.close_file(other);
}

TEST_F(Forgotten, a_close_that_goes_on_hears_no_error_for_another_file) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "x");
    server.inject({.procedure = Procedure::write, .fail = Status::io});
    EXPECT_EQ(m.fsync_file(file), EIO);
    m.write_at(file, 0, "y");
    server_is_silent(Procedure::write);
    go_on_alone([&]() -> core::Task<void> {
        auto flushing = m.fs().flush(file.open);
        co_await flushing;
    });
    m.release_file(file);  // killed
    server.put_file("/b", "");
    const auto other = m.open_file("/b");
    m.write_at(other, 0, "lost");
    answer();
    server.inject({.procedure = Procedure::write, .fail = Status::io});
    world.clock.advance(2s);
    world.serve_until([&] { return m.fs().status().write_errors == 2; });
    m.kill_and_restart();
    EXPECT_EQ(m.fsync_file(other), EIO);
    m.close_file(other);
}

}  // namespace
}  // namespace uidnfs::test
