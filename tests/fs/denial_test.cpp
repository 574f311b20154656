// SPDX-License-Identifier: Apache-2.0
// A mount whose identity may do nothing any more: nothing goes out, whatever is asked; what was not
// written is named; and it all works again afterwards.
#include "fs/fixture.hpp"

#include <gmock/gmock.h>

#include <algorithm>

namespace uidnfs::test {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::IsEmpty;

class Denial : public FsTest {
protected:
    std::vector<fs::LostRange> deny() { return mount().run(mount().fs().deny()); }
    /// What the server is asked while `body` runs and a moment longer: timers too.
    template <class Body>
    std::size_t calls_during(Body body) {
        server.clear_calls();
        body();
        world.clock.advance(60s);
        world.serve_for(600ms);
        return count_all();
    }
    static std::string range(const fs::LostRange& lost) {
        return lost.path + " " + std::to_string(lost.offset) + "+" + std::to_string(lost.length);
    }
};

TEST_F(Denial, every_operation_is_refused_and_nothing_is_sent) {
    auto& m = mount();
    m.make_file("/a", "text");
    m.make_dir("/d");
    const auto file = m.open_file("/a");
    const auto a = m.walk("/a");
    const auto dir = m.run(m.fs().opendir(m.caller, fs::kRootId));
    ASSERT_TRUE(dir);
    EXPECT_EQ(m.read_at(file, 0, 4), "text");
    const auto calls = calls_during([&] {
        EXPECT_THAT(deny(), IsEmpty());
        EXPECT_EQ(errno_of(m.try_read(file, 0, 4)), EACCES);
        EXPECT_EQ(errno_of(m.try_write(file, 0, "more")), EACCES);
        EXPECT_EQ(m.fsync_file(file), EACCES);
        EXPECT_EQ(m.flush_file(file), EACCES);
        EXPECT_EQ(m.truncate_open(file, 0), EACCES);
        EXPECT_EQ(errno_of(m.lookup(fs::kRootId, "a")), EACCES);
        EXPECT_EQ(errno_of(m.lookup(fs::kRootId, "none")), EACCES);
        EXPECT_EQ(errno_of(m.run(m.fs().getattr(m.caller, a))), EACCES);
        EXPECT_EQ(errno_of(m.run(m.fs().getattr(m.caller, fs::kRootId))), EACCES);
        EXPECT_EQ(errno_of(m.run(m.fs().access(m.caller, a, R_OK))), EACCES);
        EXPECT_EQ(errno_of(m.run(m.fs().open(m.caller, a, O_RDONLY))), EACCES);
        EXPECT_EQ(
            errno_of(m.run(m.fs().create(m.caller, fs::kRootId, "new", 0644, O_RDWR))), EACCES
        );
        EXPECT_EQ(errno_of(m.run(m.fs().mkdir(m.caller, fs::kRootId, "new", 0755))), EACCES);
        EXPECT_EQ(errno_of(m.run(m.fs().unlink(m.caller, fs::kRootId, "a"))), EACCES);
        EXPECT_EQ(errno_of(m.run(m.fs().rmdir(m.caller, fs::kRootId, "d"))), EACCES);
        EXPECT_EQ(errno_of(m.run(m.fs().statfs(m.caller, fs::kRootId))), EACCES);
        EXPECT_EQ(errno_of(m.run(m.fs().opendir(m.caller, fs::kRootId))), EACCES);
        const auto sink = [](const fs::DirItem&) { return true; };
        EXPECT_EQ(
            errno_of(m.run(m.fs().readdir(dir->open, 0, fs::Listing::names, sink))), EACCES
        );
        EXPECT_EQ(errno_of(m.run(m.fs().fsyncdir(dir->open))), EACCES);
        m.fs().releasedir(dir->open);
        m.release_file(file);
    });
    EXPECT_EQ(calls, 0u);
    EXPECT_EQ(server.content("/a"), "text");
}

TEST_F(Denial, bytes_not_written_are_named_and_never_sent) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    const auto other = m.create_file("/b");
    m.write_at(file, 100, "not sent");
    m.write_at(other, 0, "synced");
    ASSERT_EQ(m.fsync_file(other), 0);
    std::vector<fs::LostRange> lost;
    EXPECT_EQ(calls_during([&] { lost = deny(); }), 0u);
    ASSERT_EQ(lost.size(), 1u);
    EXPECT_EQ(range(lost[0]), "a 100+8");
    EXPECT_EQ(m.fs().status().bytes_not_committed, 0u);
    EXPECT_EQ(server.content("/a"), "");
    EXPECT_EQ(server.disk_content("/b"), "synced");
}

TEST_F(Denial, uncommitted_bytes_are_named_too) {
    auto& m = mount();
    constexpr std::size_t kMegabyte = 1 << 20;
    const auto file = m.create_file("/a");
    m.write_at(file, 0, std::string(kMegabyte, 'x'));
    world.serve_until([&] { return server.uncommitted_bytes() == kMegabyte; });
    const auto lost = deny();
    ASSERT_EQ(lost.size(), 1u);
    EXPECT_EQ(range(lost[0]), "a 0+1048576");
}

TEST_F(Denial, the_next_worker_sends_nothing_and_names_what_the_dead_one_left) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 100, "not sent");
    m.kill_and_restart();
    std::vector<fs::LostRange> lost;
    EXPECT_EQ(calls_during([&] {
        lost = deny();
        m.fs().go_on();
        EXPECT_EQ(m.fsync_file(file), EACCES);
    }), 0u);
    ASSERT_EQ(lost.size(), 1u);
    EXPECT_EQ(range(lost[0]), "a 100+8");
    EXPECT_EQ(server.content("/a"), "");
    m.fs().allow();
    m.write_at(file, 0, "again");
    EXPECT_EQ(m.fsync_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), "again");
}

TEST_F(Denial, calls_that_wait_end_with_eacces) {
    auto& m = mount();
    m.make_file("/a", "text");
    const auto file = m.open_file("/a");
    m.write_at(file, 0, "TEXT");
    server.inject({.procedure = Procedure::write, .reply = Fault::Reply::ignored});
    int flushed = -1;
    const auto flush = [&]() -> core::Task<void> {
        const auto done = co_await m.fs().flush(file.open);
        flushed = errno_of(done);
    };
    core::spawn(flush());
    world.serve_until([&] { return m.client().has_ignored(); });
    EXPECT_EQ(flushed, -1);
    const auto lost = deny();
    world.serve_until([&] { return flushed != -1; });
    EXPECT_EQ(flushed, EACCES);
    ASSERT_EQ(lost.size(), 1u);
    EXPECT_EQ(range(lost[0]), "a 0+4");
    EXPECT_EQ(server.content("/a"), "text");
}

TEST_F(Denial, a_writer_that_waits_for_room_is_refused_and_leaves_nothing) {
    options.write_behind = 1 << 20;
    auto& m = mount();
    const auto file = m.create_file("/a");
    server.inject({.procedure = Procedure::write, .times = 1000, .reply = Fault::Reply::ignored});
    std::vector<int> results;
    const auto write = [&](std::uint64_t offset) -> core::Task<void> {
        const auto done = co_await m.fs().write(
            file.open, offset, m.payload(std::string(256 << 10, 'x')), fs::WriteOrigin::application
        );
        results.push_back(errno_of(done));
    };
    constexpr std::size_t kWrites = 12;
    for (std::size_t i = 0; i < kWrites; ++i) core::spawn(write(i * (256 << 10)));
    world.serve_until([&] { return m.client().has_ignored(); });
    ASSERT_LT(results.size(), kWrites);
    const auto accepted = results.size();
    EXPECT_THAT(deny(), ::testing::Not(IsEmpty()));
    world.serve_until([&] { return results.size() == kWrites; });
    for (std::size_t i = accepted; i < kWrites; ++i) EXPECT_EQ(results[i], EACCES) << i;
    EXPECT_EQ(m.fs().status().bytes_not_committed, 0u);
}

TEST_F(Denial, what_the_kernel_keeps_is_dropped) {
    auto& m = mount();
    m.make_file("/a", "text");
    const auto file = m.open_file("/a");
    const auto closed = m.walk("/a");
    m.read_at(file, 0, 4);
    m.invalidated().clear();
    deny();
    const auto& told = m.invalidated();
    EXPECT_THAT(told.attribute_ids, Contains(closed));
    const auto has = [&](fs::InodeId id) {
        return std::any_of(told.inodes.begin(), told.inodes.end(), [id](const auto& pages) {
            return pages.id == id && pages.offset == 0 && pages.length == 0;
        });
    };
    EXPECT_TRUE(has(file.inode));
    EXPECT_GT(told.all_names_count, 0);
}

TEST_F(Denial, what_was_read_ahead_is_forgotten) {
    auto& m = mount();
    server.put_file("/a", "text");
    server.put_file("/b", "text");
    const auto here = m.open_file("/a", O_RDONLY);
    world.serve_until([&] { return m.client().in_flight() == 0; });
    server.inject({.procedure = Procedure::read, .hold_reply = 200ms});
    const auto under_way = m.open_file("/b", O_RDONLY);
    EXPECT_GT(m.fs().status().read_ahead_bytes, 0u);
    deny();
    EXPECT_EQ(errno_of(m.try_read(here, 0, 4)), EACCES);
    EXPECT_EQ(errno_of(m.try_read(under_way, 0, 4)), EACCES);
    world.serve_until([&] { return m.client().in_flight() == 0; });
    EXPECT_EQ(m.fs().status().read_ahead_bytes, 0u);
    m.fs().allow();
    server.overwrite("/a", 0, "TEXT");
    server.overwrite("/b", 0, "TEXT");
    EXPECT_EQ(m.read_at(here, 0, 4), "TEXT");
    EXPECT_EQ(m.read_at(under_way, 0, 4), "TEXT");
    m.release_file(here);
    m.release_file(under_way);
}

TEST_F(Denial, access_comes_back_with_the_same_open_files) {
    auto& m = mount();
    m.make_file("/a", "text");
    const auto file = m.open_file("/a");
    const auto reader = m.open_file("/a", O_RDONLY);
    m.write_at(file, 4, " lost");
    ASSERT_EQ(deny().size(), 1u);
    m.fs().allow();
    EXPECT_EQ(m.read_all(reader), "text");
    // The bytes are gone: its writer hears of that once, and goes on.
    EXPECT_EQ(m.fsync_file(file), EACCES);
    m.write_at(file, 4, " kept");
    EXPECT_EQ(m.fsync_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), "text kept");
    EXPECT_EQ(m.content_of("/a"), "text kept");
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(m.names("/"), std::vector<std::string>{"a"});
}

TEST_F(Denial, twice_is_once) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "text");
    EXPECT_EQ(deny().size(), 1u);
    EXPECT_THAT(deny(), IsEmpty());
    m.fs().allow();
    m.fs().allow();
    EXPECT_EQ(m.fsync_file(file), EACCES);
    EXPECT_EQ(m.fsync_file(file), 0);
}

TEST_F(Denial, write_back_of_a_mapping_is_refused_and_named) {
    auto& m = mount();
    m.make_file("/a", "text");
    const auto file = m.open_file("/a");
    deny();
    const auto done = m.run(m.fs().write(
        file.open, 4096, m.payload("a page"), fs::WriteOrigin::page_cache
    ));
    EXPECT_EQ(errno_of(done), EACCES);
    const auto refused = m.fs().take_refused();
    ASSERT_EQ(refused.size(), 1u);
    EXPECT_EQ(range(refused[0]), "a 4096+6");
    EXPECT_THAT(m.fs().take_refused(), IsEmpty());
}

TEST_F(Denial, the_end_does_not_wait) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "text");
    deny();
    const auto lost =
        m.run(m.fs().drain(std::chrono::steady_clock::now() + std::chrono::hours(1)));
    EXPECT_THAT(lost, IsEmpty());
}

}  // namespace
}  // namespace uidnfs::test
