// SPDX-License-Identifier: Apache-2.0
// Answers that are overtaken on their way by what other threads of the same mount do: nothing older
// than that is shown, and no name leads to a file that has lost it.
#include "fs/fixture.hpp"
#include "support/tasks.hpp"

#include <sys/stat.h>

#include <optional>

namespace uidnfs::test {
namespace {

using namespace std::chrono_literals;

class Overtaken : public FsTest {
protected:
    /// The next call of this kind is answered a while after it was carried out.
    void hold(Procedure procedure, std::string_view name = "") {
        Fault fault{.procedure = procedure, .hold_reply = 20ms};
        if (!name.empty()) fault.when = [name](const Call& call) { return call.name == name; };
        server.inject(fault);
    }
    core::Task<int> look_up(std::string name, fs::InodeId& id) {
        const auto found = co_await mount().fs().lookup(mount().caller, fs::kRootId, name);
        if (found) id = found->id;
        co_return errno_of(found);
    }
    /// Removes /a and makes it again, and open.
    core::Task<int> replace(std::optional<File>& file) {
        auto& fs = mount().fs();
        const auto removed = co_await fs.unlink(mount().caller, fs::kRootId, "a");
        if (!removed) co_return errno_of(removed);
        const auto made =
            co_await fs.create(mount().caller, fs::kRootId, "a", S_IFREG | 0644, O_RDWR | O_CREAT);
        if (made) file = File{made->entry.id, made->open.open};
        co_return errno_of(made);
    }
    static std::vector<core::Task<int>> both(core::Task<int> first, core::Task<int> second) {
        std::vector<core::Task<int>> out;
        out.push_back(std::move(first));
        out.push_back(std::move(second));
        return out;
    }
    void expect_kept_when_removed(const File& file) {
        auto& m = mount();
        m.write_at(file, 0, "kept");
        EXPECT_EQ(errno_of(m.run(m.fs().unlink(m.caller, fs::kRootId, "a"))), 0);
        EXPECT_EQ(m.read_all(file), "kept");
        EXPECT_EQ(m.close_file(file), 0);
        EXPECT_TRUE(server.names("/").empty());
    }
};

TEST_F(Overtaken, a_lookup_of_a_name_that_became_another_file) {
    options.lookup_cache = fs::LookupCache::none;
    auto& m = mount();
    m.make_file("/a", "old");
    const auto old = m.walk("/a");
    hold(Procedure::lookup);
    fs::InodeId found = 0;
    std::optional<File> file;
    const auto done = world.run_all(both(look_up("a", found), replace(file)));
    EXPECT_EQ(done, (std::vector<int>{0, 0}));
    EXPECT_NE(found, old);
    ASSERT_TRUE(file);
    expect_kept_when_removed(*file);
}

TEST_F(Overtaken, a_page_of_names_of_which_one_became_another_file) {
    auto& m = mount();
    m.make_file("/a", "old");
    m.walk("/a");
    const auto directory = m.run(m.fs().opendir(m.caller, fs::kRootId));
    ASSERT_TRUE(directory);
    const auto dots = m.read_dir(directory->open, 0, fs::Listing::plus, 2);
    ASSERT_EQ(dots.size(), 2u);
    std::optional<File> file;
    EXPECT_EQ(m.run(replace(file)), 0);
    ASSERT_TRUE(file);
    for (const auto& item :
         m.read_dir(directory->open, dots.back().next_offset, fs::Listing::plus, 10)) {
        EXPECT_TRUE(item.inode == 0 || item.inode == file->inode) << item.name;
    }
    m.fs().releasedir(directory->open);
    expect_kept_when_removed(*file);
}

TEST_F(Overtaken, a_lookup_by_the_kernel_forgetting_the_file) {
    auto& m = mount();
    const auto made = m.create_file("/a");
    m.close_file(made);
    EXPECT_EQ(m.link_path("/a", "/b"), 0);
    server.clear_calls();
    hold(Procedure::lookup, "a");
    hold(Procedure::getattr);
    fs::InodeId found = 0;
    // One link less: what the lookup is told may be from before, and it asks once more.
    const auto forget = [&]() -> core::Task<int> {
        const auto removed = co_await m.fs().unlink(m.caller, fs::kRootId, "b");
        while (count(Procedure::getattr) == 0) co_await NextRound{world.reactor};
        m.fs().forget(made.inode, 1000);
        co_return errno_of(removed);
    };
    EXPECT_EQ(world.run_all(both(look_up("a", found), forget())), (std::vector<int>{0, 0}));
    ASSERT_NE(found, 0u);
    EXPECT_EQ(m.stat_id(found).st_nlink, 1u);
}

TEST_F(Overtaken, fstat_while_another_write_is_under_way) {
    server.adjust([](Behaviour& with) {
        with.post_op_attrs = Presence::never;
        with.tick = 1h;
    });
    client_options.travel.most_rounds = 4;
    auto& m = mount();
    const auto file = m.create_file("/a");
    const std::string bytes(100, 'x');
    for (std::uint64_t round = 1; round < 40; ++round) {
        m.write_at(file, (round - 1) * bytes.size(), bytes, O_RDWR | O_SYNC);
        off_t size = 0;
        const auto stat = [&]() -> core::Task<int> {
            const auto reply = co_await m.fs().getattr(m.caller, file.inode);
            if (reply) size = reply->stat.st_size;
            co_return errno_of(reply);
        };
        const auto write = [&]() -> core::Task<int> {
            const auto origin = fs::WriteOrigin::application;
            co_return errno_of(co_await m.fs().write(
                file.open, 10, m.payload("again"), origin, core::Progress{}, O_RDWR | O_SYNC
            ));
        };
        EXPECT_EQ(world.run_all(both(stat(), write())), (std::vector<int>{0, 0}));
        EXPECT_EQ(size, static_cast<off_t>(round * bytes.size()));
    }
    m.close_file(file);
}

/// The server lost bytes in a restart; while the appender asks where the file ends, somebody else's
/// fsync brings them there again.
TEST_F(Overtaken, an_append_by_bytes_that_are_sent_again) {
    options.commit_on = fs::CommitOn::behind;
    auto& m = mount();
    const auto file = m.create_file("/a", O_RDWR);
    m.write_at(file, 0, std::string(1000, 'x'));
    EXPECT_EQ(m.flush_file(file), 0);
    server.crash();
    hold(Procedure::getattr);
    const auto append = [&]() -> core::Task<int> {
        const auto origin = fs::WriteOrigin::application;
        co_return errno_of(co_await m.fs().write(
            file.open, 1000, m.payload("end"), origin, core::Progress{}, O_RDWR | O_APPEND
        ));
    };
    const auto sync = [&]() -> core::Task<int> {
        co_return errno_of(co_await m.fs().fsync(file.open));
    };
    EXPECT_EQ(world.run_all(both(append(), sync())), (std::vector<int>{0, 0}));
    EXPECT_EQ(m.close_file(file), 0);
    m.drain();
    EXPECT_EQ(server.content("/a"), std::string(1000, 'x') + "end");
}

}  // namespace
}  // namespace uidnfs::test
