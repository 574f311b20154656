// SPDX-License-Identifier: Apache-2.0
// Open files whose pages the kernel holds are asked about, although nobody asks for anything: what
// that costs, and what a change by somebody else does. The timer is real, what it looks at is the
// test's clock.
#include "fs/fixture.hpp"

#include <string>
#include <vector>

namespace uidnfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

/// Longer than the shortest time after which a file is asked about.
constexpr milliseconds kAWhile{1300};

class PageWatch : public FsTest {
protected:
    PageWatch() { options.timers.file_min = seconds(1); }

    /// Opened, read, and its attributes are old.
    File use(const std::string& path) {
        const auto file = mount().open_file(path, O_RDONLY);
        mount().read_all(file);
        return file;
    }
    void grow_old() {
        server.clear_calls();
        world.clock.advance(seconds(2));
    }
    std::size_t getattrs() const { return count(Procedure::getattr); }
};

TEST_F(PageWatch, a_foreign_change_drops_the_pages_although_nobody_asks) {
    server.put_file("/a", "old!");
    const auto file = use("/a");
    server.overwrite("/a", 0, "new!");
    grow_old();
    auto& told = mount().invalidated().inodes;
    world.serve_until([&] { return !told.empty(); });
    EXPECT_EQ(told[0].id, file.inode);
    EXPECT_EQ(told[0].offset, 0);
    EXPECT_EQ(told[0].length, 0);
    EXPECT_EQ(getattrs(), 1u);
    mount().close_file(file);
}

TEST_F(PageWatch, nothing_is_asked_after_the_pages_are_gone_until_there_are_new_ones) {
    server.put_file("/a", "one!");
    const auto file = use("/a");
    server.overwrite("/a", 0, "two!");
    grow_old();
    auto& told = mount().invalidated().inodes;
    world.serve_until([&] { return !told.empty(); });
    grow_old();
    world.serve_for(kAWhile);
    EXPECT_EQ(getattrs(), 0u);
    mount().read_all(file);
    server.overwrite("/a", 0, "six!");
    grow_old();
    world.serve_until([&] { return told.size() == 2; });
    mount().close_file(file);
}

TEST_F(PageWatch, pages_that_may_not_be_asked_about_go_and_cost_nothing_more) {
    server.put_file("/a", "one!");
    const auto file = use("/a");
    server.inject({.procedure = Procedure::getattr, .fail = Status::acces});
    grow_old();
    auto& told = mount().invalidated().inodes;
    world.serve_until([&] { return !told.empty(); });
    EXPECT_EQ(told[0].id, file.inode);
    grow_old();
    world.serve_for(kAWhile);
    EXPECT_EQ(getattrs(), 0u);
    mount().close_file(file);
}

TEST_F(PageWatch, the_period_doubles_as_that_of_attributes) {
    server.put_file("/a", "x");
    const auto file = use("/a");
    grow_old();
    world.serve_until([&] { return getattrs() == 1; });
    world.serve_what_follows();
    const auto reply = mount().run(mount().fs().getattr(mount().caller, file.inode));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->attr_valid, seconds(2));
    world.clock.advance(milliseconds(1900));
    world.serve_for(kAWhile);
    EXPECT_EQ(getattrs(), 1u);
    EXPECT_TRUE(mount().invalidated().inodes.empty());
    mount().close_file(file);
}

TEST_F(PageWatch, files_that_nobody_reads_or_that_are_closed_cost_nothing) {
    server.put_file("/unread", "x");
    server.put_file("/closed", "x");
    const auto unread = mount().open_file("/unread", O_RDONLY);
    mount().close_file(use("/closed"));
    grow_old();
    world.serve_for(kAWhile);
    EXPECT_EQ(count_all(), 0u);
    mount().close_file(unread);
}

TEST_F(PageWatch, a_file_that_is_only_written_costs_nothing_until_somebody_may_read_it) {
    const auto writer = mount().create_file("/a", O_WRONLY);
    mount().write_at(writer, 0, "bytes");
    EXPECT_EQ(mount().fsync_file(writer), 0);
    grow_old();
    world.serve_for(kAWhile);
    EXPECT_EQ(getattrs(), 0u);
    const auto reader = mount().open_file("/a", O_RDONLY);
    mount().write_at(writer, 0, "other");
    EXPECT_EQ(mount().fsync_file(writer), 0);
    grow_old();
    world.serve_until([&] { return getattrs() == 1; });
    mount().close_file(reader);
    mount().close_file(writer);
}

TEST_F(PageWatch, pages_that_an_open_keeps_are_looked_after) {
    server.put_file("/a", "x");
    world.serve_for(milliseconds(60));  // old enough for its times to be trusted
    mount().close_file(use("/a"));
    const auto file = mount().open_file("/a", O_RDONLY);
    ASSERT_EQ(file.pages, fs::Pages::keep);
    grow_old();
    world.serve_until([&] { return getattrs() == 1; });
    mount().close_file(file);
}

TEST_F(PageWatch, mappings_are_looked_after_with_noac_too) {
    options.timers = {milliseconds(0), milliseconds(0), milliseconds(0), milliseconds(0)};
    server.put_file("/a", "old!");
    const auto file = use("/a");
    server.overwrite("/a", 0, "new!");
    grow_old();
    world.serve_until([&] { return !mount().invalidated().inodes.empty(); });
    mount().close_file(file);
}

TEST_F(PageWatch, many_files_are_asked_about_a_few_at_a_time) {
    constexpr std::size_t kFiles = 100;
    std::vector<File> files;
    for (std::size_t i = 0; i < kFiles; ++i) {
        const auto path = "/" + std::to_string(i);
        server.put_file(path, "x");
        files.push_back(use(path));
    }
    grow_old();
    mount().client().forget_most();
    world.serve_until([&] { return getattrs() > 0; });
    const auto first = steady_clock::now();
    world.serve_until([&] { return getattrs() == kFiles; });
    EXPECT_GE(steady_clock::now() - first, milliseconds(350));
    EXPECT_LE(mount().client().most_in_flight(), 20u);
    for (const auto& file : files) mount().close_file(file);
}

TEST_F(PageWatch, nothing_is_sent_while_the_server_is_silent) {
    server.put_file("/a", "old!");
    const auto file = use("/a");
    const auto other = mount().create_file("/b");
    mount().write_at(other, 0, "waits");
    grow_old();
    server.inject({.times = 1000, .reply = Fault::Reply::ignored});
    bool synced = false;
    const auto sync = [](Mount& m, fs::OpenId open, bool& done) -> core::Task<void> {
        auto work = m.fs().fsync(open);
        const auto result = co_await work;
        done = bool(result);
    };
    core::spawn(sync(mount(), other.open, synced));
    world.serve_for(kAWhile);
    EXPECT_EQ(getattrs(), 0u);
    server.overwrite("/a", 0, "new!");
    server.forget_faults();
    mount().client().resend_ignored();
    world.serve_until([&] { return synced && !mount().invalidated().inodes.empty(); });
    mount().close_file(other);
    mount().close_file(file);
}

TEST_F(PageWatch, a_file_that_is_gone_keeps_its_pages_and_is_not_asked_about_again) {
    server.put_file("/a", "x");
    const auto file = use("/a");
    server.remove_path("/a");
    grow_old();
    world.serve_until([&] { return getattrs() == 1; });
    world.serve_what_follows();
    grow_old();
    world.serve_for(kAWhile);
    EXPECT_EQ(getattrs(), 0u);
    EXPECT_TRUE(mount().invalidated().inodes.empty());
    mount().close_file(file);
}

TEST_F(PageWatch, nothing_is_asked_when_the_kernel_is_gone) {
    server.put_file("/a", "x");
    use("/a");
    mount().fs().forget_kernel();
    grow_old();
    world.serve_for(kAWhile);
    EXPECT_EQ(count_all(), 0u);
}

}  // namespace
}  // namespace uidnfs::test
