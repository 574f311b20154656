// SPDX-License-Identifier: Apache-2.0
// Calls whose callers were killed while the server was slow: they go on, and the kernel lets others
// change the same file or name meanwhile, which it does not otherwise. What those do comes after.
#include "fs/fixture.hpp"
#include "support/tasks.hpp"

namespace uidnfs::test {
namespace {

using namespace std::chrono_literals;

class Released : public FsTest {
protected:
    /// `first`, whose caller is killed once `procedure` was sent; then `second`.
    std::vector<int> run_both(
        Procedure procedure,
        std::function<core::Task<int>()> first,
        std::function<core::Task<int>()> next
    ) {
        const auto before = count(procedure);
        const auto after = [this, procedure, before, next]() -> core::Task<int> {
            while (count(procedure) == before) co_await NextRound{mount().reactor()};
            auto doing = next();
            co_return co_await doing;
        };
        std::vector<core::Task<int>> tasks;
        tasks.push_back(first());
        tasks.push_back(after());
        return world.run_all(std::move(tasks));
    }
    core::Task<int> cut(fs::InodeId id) {
        fs::SetAttrRequest request;
        request.size = 0;
        const auto done = co_await mount().fs().setattr(mount().caller, id, request);
        co_return errno_of(done);
    }
    core::Task<int> write(File file, std::string bytes) {
        const auto put = co_await mount().fs().write(
            file.open, 0, mount().payload(bytes), fs::WriteOrigin::application
        );
        co_return errno_of(put);
    }
    core::Task<int> remove(std::string name) {
        const auto done = co_await mount().fs().unlink(mount().caller, fs::kRootId, name);
        co_return errno_of(done);
    }
    core::Task<int> move(std::string from, std::string to) {
        const auto done = co_await mount().fs().rename(
            mount().caller, fs::kRootId, from, fs::kRootId, to, fs::RenameMode::replace
        );
        co_return errno_of(done);
    }
    core::Task<int> make_directory(std::string name) {
        const auto made = co_await mount().fs().mkdir(mount().caller, fs::kRootId, name, 0755);
        co_return errno_of(made);
    }
    void server_asks_to_wait(Procedure procedure) {
        server.inject({.procedure = procedure, .fail = Status::jukebox});
    }
    const std::vector<int> both_done{0, 0};
};

TEST_F(Released, a_truncate_takes_nothing_that_was_written_after_it) {
    auto& m = mount();
    m.make_file("/a", "old content");
    const auto file = m.open_file("/a");
    server.inject({.procedure = Procedure::setattr, .hold_reply = 30ms});
    const auto done = run_both(
        Procedure::setattr,
        [&] { return cut(file.inode); },
        [&] { return write(file, "acknowledged"); }
    );
    EXPECT_EQ(done, both_done);
    EXPECT_EQ(m.fsync_file(file), 0);
    EXPECT_EQ(server.content("/a"), "acknowledged");
    EXPECT_EQ(m.close_file(file), 0);
}

TEST_F(Released, a_truncate_of_a_file_with_bytes_takes_those_alone) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "longer than what comes");
    server.inject({.procedure = Procedure::setattr, .hold_reply = 30ms});
    const auto done = run_both(
        Procedure::setattr,
        [&] { return cut(file.inode); },
        [&] { return write(file, "acknowledged"); }
    );
    EXPECT_EQ(done, both_done);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.content("/a"), "acknowledged");
}

TEST_F(Released, a_truncate_that_waits_for_earlier_bytes_takes_nothing_that_was_written_after_it) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "longer than what comes");
    server.inject({.procedure = Procedure::write, .hold_reply = 30ms});
    const auto done = run_both(
        Procedure::write,
        [&] { return cut(file.inode); },
        [&] { return write(file, "acknowledged"); }
    );
    EXPECT_EQ(done, both_done);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.content("/a"), "acknowledged");
}

TEST_F(Released, a_truncate_takes_what_waited_for_room_before_it) {
    options.write_behind = 1 << 20;
    auto& m = mount();
    const auto big = m.create_file("/big");
    const auto file = m.create_file("/a");
    server.inject({.procedure = Procedure::write, .times = 100, .reply = Fault::Reply::ignored});
    m.write_at(big, 0, std::string(1 << 20, 'b'));
    const auto room = [&]() -> core::Task<int> {
        auto pause = m.reactor().sleep_for(30ms);
        co_await pause;
        server.forget_faults();
        m.client().resend_ignored();
        co_return 0;
    };
    std::vector<core::Task<int>> tasks;
    tasks.push_back(write(file, "not acknowledged"));
    tasks.push_back(cut(file.inode));
    tasks.push_back(room());
    EXPECT_EQ(world.run_all(std::move(tasks)), (std::vector<int>{0, 0, 0}));
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.content("/a"), "");
    EXPECT_EQ(m.close_file(big), 0);
}

TEST_F(Released, a_removal_does_not_take_what_was_moved_there_after_it) {
    auto& m = mount();
    m.make_file("/a", "old");
    m.make_file("/new", "new");
    m.walk("/a");
    m.walk("/new");
    server_asks_to_wait(Procedure::remove);
    const auto done = run_both(
        Procedure::remove, [&] { return remove("a"); }, [&] { return move("new", "a"); }
    );
    EXPECT_EQ(done, both_done);
    EXPECT_EQ(server.content("/a"), "new");
}

TEST_F(Released, a_move_does_not_replace_what_was_made_after_it) {
    auto& m = mount();
    m.make_file("/a", "old");
    m.make_file("/b", "moved");
    m.walk("/a");
    m.walk("/b");
    server_asks_to_wait(Procedure::rename);
    const auto done = run_both(
        Procedure::rename, [&] { return move("b", "a"); }, [&] { return remove("a"); }
    );
    EXPECT_EQ(done, both_done);
    EXPECT_FALSE(server.exists("/a")) << "what was removed last is there";
    EXPECT_FALSE(server.exists("/b"));
}

TEST_F(Released, a_name_that_goes_is_free_for_the_next_maker) {
    auto& m = mount();
    m.make_file("/a", "old");
    m.walk("/a");
    server_asks_to_wait(Procedure::remove);
    const auto done = run_both(
        Procedure::remove, [&] { return remove("a"); }, [&] { return make_directory("a"); }
    );
    EXPECT_EQ(done, both_done);
    EXPECT_TRUE(server.exists("/a"));
}

TEST_F(Released, other_names_wait_for_nobody) {
    auto& m = mount();
    m.make_file("/a", "old");
    m.walk("/a");
    server.inject({.procedure = Procedure::remove, .hold_reply = 50ms});
    bool was_waiting = false;
    const auto done = run_both(
        Procedure::remove,
        [&]() -> core::Task<int> {
            auto removing = remove("a");
            const int code = co_await removing;
            was_waiting = was_waiting && server.exists("/b");
            co_return code;
        },
        [&]() -> core::Task<int> {
            auto making = make_directory("b");
            const int code = co_await making;
            was_waiting = true;
            co_return code;
        }
    );
    EXPECT_EQ(done, both_done);
    EXPECT_TRUE(was_waiting) << "the directory was made only after the removal";
}

}  // namespace
}  // namespace uidnfs::test
