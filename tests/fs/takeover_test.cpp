// SPDX-License-Identifier: Apache-2.0
// What a worker finds of the one before it: files stay open, bytes go out in the name of who wrote
// them, errors are told, names and places in listings go on.
#include "fs/arena_check.hpp"
#include "fs/fixture.hpp"
#include "fs/store_trace.hpp"

#include <fmt/format.h>

#include <set>

namespace uidnfs::test {
namespace {

constexpr std::uint32_t kAnna = 3001;
constexpr std::uint32_t kBert = 3002;

class Takeover : public FsTest {
protected:
    std::vector<std::string> silly_names() {
        std::vector<std::string> out;
        for (const auto& name : server.names("/")) {
            if (name.starts_with(".nfs")) out.push_back(name);
        }
        return out;
    }
    /// identity=caller.
    void use_callers() {
        options.identity = fs::IdentityMode::caller;
        options.gate = mapper::Gate(mapper::Access::any, mapper::ClientUid(kAppUid));
        expected_uids = {kUid, kAnna, kBert};
        server.put_directory("/open", 01777);
    }
    void become(std::uint32_t id, std::vector<std::uint32_t> groups = {}) {
        auto& caller = mount().caller;
        caller.uid = mapper::ClientUid(id);
        caller.gid = mapper::ClientGid(id);
        caller.groups = std::move(groups);
    }
};

TEST_F(Takeover, bytes_go_out_in_the_name_of_who_wrote_them) {
    use_callers();
    auto& m = mount();
    become(kAnna, {7, 8});
    m.write_at(m.create_file("/open/anna"), 0, "by Anna");
    become(kBert);
    m.write_at(m.create_file("/open/bert"), 0, "by Bert");
    server.clear_calls();
    m.kill_and_restart();
    m.drain();
    std::set<std::pair<std::uint32_t, std::vector<std::uint32_t>>> writers;
    for (const auto& call : server.calls()) {
        if (call.procedure == Procedure::write) writers.emplace(call.who.uid, call.who.groups);
    }
    const decltype(writers) expected{{kAnna, {7, 8}}, {kBert, {}}};
    EXPECT_EQ(writers, expected);
    EXPECT_EQ(server.disk_content("/open/anna"), "by Anna");
    EXPECT_EQ(server.disk_content("/open/bert"), "by Bert");
}

TEST_F(Takeover, an_open_file_stays_its_openers) {
    use_callers();
    auto& m = mount();
    become(kAnna);
    const auto file = m.create_file("/open/anna");
    m.kill_and_restart();
    become(kBert);
    server.clear_calls();
    m.write_at(file, 0, "x");
    EXPECT_EQ(m.close_file(file), 0);
    for (const auto& call : server.calls()) EXPECT_EQ(call.who.uid, kAnna) << call.describe();
}

TEST_F(Takeover, an_arena_with_an_identity_of_root_is_refused_where_root_is) {
    use_callers();
    options.root_identity = mapper::RootIdentity::allowed;
    expected_uids.push_back(0);
    auto& m = mount();
    become(0);
    const auto file = m.create_file("/open/root");
    EXPECT_EQ(fs::find_damage(m.arena(), mapper::RootIdentity::allowed), std::nullopt);
    EXPECT_NE(fs::find_damage(m.arena(), mapper::RootIdentity::refused), std::nullopt);
    m.close_file(file);
}

TEST_F(Takeover, an_error_that_nobody_heard_is_told_by_the_next_worker) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    const auto other = m.open_file("/a");
    server.inject({.procedure = Procedure::write, .fail = Status::nospc});
    m.write_at(file, 0, std::string(1 << 20, 'x'));
    world.serve_until([&] { return m.fs().status().write_errors == 1; });
    m.kill_and_restart();
    EXPECT_EQ(m.flush_file(file), ENOSPC);
    EXPECT_EQ(m.flush_file(file), 0);
    m.kill_and_restart();
    EXPECT_EQ(m.flush_file(other), ENOSPC) << "each open file hears it";
    EXPECT_EQ(m.flush_file(file), 0) << "and once only";
    m.release_file(file);
    m.release_file(other);
}

TEST_F(Takeover, attributes_owed_to_a_new_file_are_set_by_the_next_worker) {
    auto& m = mount();
    server.inject({.procedure = Procedure::setattr, .reply = Fault::Reply::ignored});
    const auto file = m.create_file("/a", O_RDWR | O_EXCL, 0640);
    m.write_at(file, 0, "content");
    world.serve_what_follows();
    ASSERT_TRUE(m.client().has_ignored());
    ASSERT_NE(server.attr("/a").mode, 0640u);
    m.kill_and_restart();
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.attr("/a").mode, 0640u);
    EXPECT_EQ(server.disk_content("/a"), "content");
    EXPECT_EQ(m.stat_id(file.inode).st_mode & 07777, 0640u);
}

TEST_F(Takeover, attributes_owed_to_a_new_file_are_set_in_the_name_of_its_maker) {
    use_callers();
    auto& m = mount();
    become(kAnna);
    server.inject({.procedure = Procedure::setattr, .reply = Fault::Reply::ignored});
    const auto file = m.create_file("/open/anna", O_RDWR | O_EXCL, 0640);
    world.serve_what_follows();
    ASSERT_TRUE(m.client().has_ignored());
    server.clear_calls();
    m.kill_and_restart();
    become(kBert);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.attr("/open/anna").mode, 0640u);
    for (const auto& call : server.calls()) {
        if (call.procedure == Procedure::setattr) {
            EXPECT_EQ(call.who.uid, kAnna);
        }
    }
}

TEST_F(Takeover, attributes_that_were_set_are_not_set_again) {
    auto& m = mount();
    const auto file = m.create_file("/a", O_RDWR | O_EXCL, 0640);
    EXPECT_EQ(m.flush_file(file), 0);
    ASSERT_EQ(m.chmod_path("/a", 0600), 0);
    server.clear_calls();
    m.kill_and_restart();
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(count(Procedure::setattr), 0u);
    EXPECT_EQ(server.attr("/a").mode, 0600u);
}

TEST_F(Takeover, attributes_that_the_next_worker_cannot_set_are_told_at_close) {
    auto& m = mount();
    server.inject({.procedure = Procedure::setattr, .reply = Fault::Reply::ignored});
    const auto file = m.create_file("/a", O_RDWR | O_EXCL, 0640);
    world.serve_what_follows();
    server.inject({.procedure = Procedure::setattr, .fail = Status::acces});
    m.kill_and_restart();
    EXPECT_EQ(m.close_file(file), EACCES);
}

TEST_F(Takeover, numbers_of_files_and_opens_are_not_given_again) {
    auto& m = mount();
    const auto first = m.create_file("/a");
    m.close_file(first);
    m.fs().forget(first.inode, 1);
    m.kill_and_restart();
    const auto second = m.create_file("/b");
    EXPECT_GT(second.inode, first.inode);
    EXPECT_GT(second.open, first.open);
    m.close_file(second);
}

TEST_F(Takeover, a_file_opened_before_is_not_removed_under_its_user) {
    auto& m = mount();
    m.make_file("/a", "content");
    const auto file = m.open_file("/a");
    m.kill_and_restart();
    // The kernel knows the name and does not look it up again.
    EXPECT_EQ(errno_of(m.run(m.fs().unlink(m.caller, fs::kRootId, "a"))), 0);
    EXPECT_FALSE(server.exists("/a"));
    EXPECT_EQ(m.read_all(file), "content");
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_TRUE(silly_names().empty());
}

TEST_F(Takeover, a_file_opened_by_a_name_that_only_the_kernel_knows_is_not_removed_under_its_user) {
    auto& m = mount();
    m.make_file("/a", "content");
    const auto id = m.walk("/a");
    m.kill_and_restart();
    const auto opened = m.run(m.fs().open(m.caller, id, O_RDONLY));
    ASSERT_TRUE(opened);
    const File file{id, opened->open};
    EXPECT_EQ(errno_of(m.run(m.fs().unlink(m.caller, fs::kRootId, "a"))), 0);
    EXPECT_FALSE(server.exists("/a"));
    EXPECT_EQ(m.read_all(file), "content");
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_TRUE(silly_names().empty());
}

TEST_F(Takeover, a_file_opened_before_is_not_replaced_under_its_user) {
    auto& m = mount();
    m.make_file("/a", "old");
    m.make_file("/b", "new");
    const auto file = m.open_file("/a");
    m.kill_and_restart();
    const auto replaced =
        m.run(m.fs().rename(m.caller, fs::kRootId, "b", fs::kRootId, "a", fs::RenameMode::replace));
    EXPECT_EQ(errno_of(replaced), 0);
    EXPECT_EQ(m.read_all(file), "old");
    EXPECT_EQ(server.content("/a"), "new");
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_TRUE(silly_names().empty());
}

TEST_F(Takeover, a_removed_file_goes_with_its_last_close) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "x");
    EXPECT_EQ(m.remove_file("/a"), 0);
    m.kill_and_restart();
    EXPECT_EQ(m.read_all(file), "x");
    EXPECT_EQ(m.stat_id(file.inode).st_nlink, 0u);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_TRUE(silly_names().empty());
}

/// The worker dies with the RENAME to the silly name under way; the kernel asks again.
class HalfRemoved : public Takeover {
protected:
    File open_file() {
        auto& m = mount();
        m.make_file("/a", "content");
        return m.open_file("/a");
    }
    int remove_again() {
        auto& m = mount();
        return errno_of(m.run(m.fs().unlink(m.caller, fs::kRootId, "a")));
    }
    void begin_to_remove(Fault fault) {
        auto& m = mount();
        server.inject(std::move(fault));
        core::spawn([](Mount& on) -> core::Task<void> {
            auto removing = on.fs().unlink(on.caller, fs::kRootId, "a");
            co_await removing;
        }(m));
        world.serve_until([&] { return count(Procedure::rename) > 0; });
        m.kill_and_restart();
        server.forget_faults();
    }
};

TEST_F(HalfRemoved, before_its_name_changed) {
    const auto file = open_file();
    begin_to_remove(
        {.procedure = Procedure::rename, .fail = Status::jukebox, .reply = Fault::Reply::ignored}
    );
    EXPECT_TRUE(server.exists("/a"));
    EXPECT_EQ(remove_again(), 0);
    EXPECT_FALSE(server.exists("/a"));
    EXPECT_EQ(mount().read_all(file), "content");
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_TRUE(silly_names().empty());
}

TEST_F(HalfRemoved, and_the_server_does_not_say_which) {
    const auto file = open_file();
    begin_to_remove(
        {.procedure = Procedure::rename, .fail = Status::jukebox, .reply = Fault::Reply::ignored}
    );
    server.inject(
        {.procedure = Procedure::lookup,
         .when = [](const Call& call) { return call.name.starts_with(".nfs"); },
         .fail = Status::io}
    );
    EXPECT_EQ(remove_again(), EIO);
    EXPECT_TRUE(server.exists("/a"));
    EXPECT_EQ(remove_again(), 0);
    EXPECT_EQ(mount().read_all(file), "content");
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_TRUE(server.names("/").empty());
}

TEST_F(HalfRemoved, after_its_name_changed) {
    const auto file = open_file();
    begin_to_remove({.procedure = Procedure::rename, .reply = Fault::Reply::lost});
    EXPECT_FALSE(server.exists("/a"));
    EXPECT_EQ(silly_names().size(), 1u);
    EXPECT_EQ(mount().read_all(file), "content");
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_TRUE(silly_names().empty());
}

/// The worker dies in the last close of a removed file, and the kernel tells it again.
class HalfClosed : public Takeover {
protected:
    File removed_file() {
        const auto file = mount().create_file("/a");
        EXPECT_EQ(mount().remove_file("/a"), 0);
        return file;
    }
    void begin_to_close(const File& file, Fault fault) {
        auto& m = mount();
        server.inject(std::move(fault));
        server.clear_calls();
        core::spawn(m.fs().release(file.open));
        world.serve_until([&] { return count(Procedure::remove) > 0; });
        m.kill_and_restart();
        server.forget_faults();
        m.release_file(file);
        world.serve_until([&] { return m.client().in_flight() == 0; });
    }
};

TEST_F(HalfClosed, before_its_silly_name_was_removed) {
    const auto file = removed_file();
    begin_to_close(
        file,
        {.procedure = Procedure::remove, .fail = Status::jukebox, .reply = Fault::Reply::ignored}
    );
    EXPECT_TRUE(silly_names().empty());
    mount().fs().forget(file.inode, 10);  // all
    EXPECT_EQ(mount().fs().status().inodes, 1u) << "the root";
}

TEST_F(HalfClosed, after_its_silly_name_was_removed) {
    const auto file = removed_file();
    begin_to_close(file, {.procedure = Procedure::remove, .reply = Fault::Reply::lost});
    EXPECT_TRUE(silly_names().empty());
    mount().fs().forget(file.inode, 10);  // all
    EXPECT_EQ(mount().fs().status().inodes, 1u) << "the root";
}

/// A request that the kernel makes again: what the dead worker noted of it is there.
class AskedAgain : public Takeover {
protected:
    fs::Caller again() {
        auto who = mount().caller;
        who.progress = core::Progress(record_);
        return who;
    }

private:
    core::ProgressRecord record_{};
};

TEST_F(AskedAgain, an_exclusive_create_whose_file_is_looked_up_without_attributes) {
    auto& m = mount();
    const auto create = [&] {
        return m.run(m.fs().create(again(), fs::kRootId, "a", S_IFREG | 0640, O_RDWR | O_EXCL));
    };
    const auto first = create();
    ASSERT_TRUE(first);
    m.kill_and_restart();
    server.adjust([](Behaviour& behaviour) { behaviour.post_op_attrs = Presence::never; });
    const auto second = create();
    ASSERT_TRUE(second) << core::to_string(second.error());
    EXPECT_EQ(second->entry.id, first->entry.id);
    m.run(m.fs().release(first->open.open));
    m.run(m.fs().release(second->open.open));
}

TEST_F(AskedAgain, a_rename_on_a_server_that_tells_no_attributes) {
    server.put_file("/a", "content");
    server.adjust([](Behaviour& behaviour) { behaviour.post_op_attrs = Presence::never; });
    auto& m = mount();
    const auto rename = [&] {
        return errno_of(m.run(
            m.fs().rename(again(), fs::kRootId, "a", fs::kRootId, "b", fs::RenameMode::replace)
        ));
    };
    EXPECT_EQ(rename(), 0);
    m.kill_and_restart();
    EXPECT_EQ(rename(), 0);
    EXPECT_EQ(m.content_of("/b"), "content");
}

/// A name that only the kernel knows goes while the file is opened: it is readable, or not found.
class OpenedAfterADeath : public Takeover {
protected:
    void begin_to_remove() {
        auto& m = mount();
        m.make_file("/a", "content");
        id = m.walk("/a");
        m.kill_and_restart();
        server.inject({.procedure = Procedure::remove, .delay = std::chrono::milliseconds(5)});
        core::spawn([](Mount& on) -> core::Task<void> {
            auto removing = on.fs().unlink(on.caller, fs::kRootId, "a");
            co_await removing;
        }(m));
        world.serve_until([&] { return count(Procedure::remove) > 0; });
    }
    void open() {
        auto& m = mount();
        const auto opened = m.run(m.fs().open(m.caller, id, O_RDONLY));
        ASSERT_FALSE(opened);
        EXPECT_EQ(opened.error().code(), ESTALE) << "the kernel looks the name up again";
    }
    fs::InodeId id = 0;
};

TEST_F(OpenedAfterADeath, by_its_number) {
    begin_to_remove();
    open();
}

TEST_F(OpenedAfterADeath, by_a_name_that_was_looked_up_before_it_went) {
    begin_to_remove();
    EXPECT_EQ(mount().walk("/a"), id);
    open();
}

/// A page of names and attributes was fetched for somebody who walks through /d; the file changes
/// then, and the kernel forgets it.
class ListedAfterADeath : public Takeover {
protected:
    void begin_walk() {
        auto& m = mount();
        const auto directory = m.walk("/d");
        for (const auto* missing : {"x", "y", "z"}) m.lookup(directory, missing);
        world.serve_until([&] { return m.client().in_flight() == 0; });
        ASSERT_EQ(count(Procedure::readdirplus), 1u) << "that was a walk";
    }
};

TEST_F(ListedAfterADeath, before_a_write_to_a_file_whose_name_is_not_known) {
    server.put_directory("/d");
    server.put_file("/d/a", "old");
    auto& m = mount();
    const auto file = m.open_file("/d/a");
    m.kill_and_restart();
    begin_walk();
    m.write_at(file, 0, "newer");
    EXPECT_EQ(m.close_file(file), 0);
    m.fs().forget(file.inode, 10);  // all
    EXPECT_EQ(m.stat_of("/d/a").st_size, 5);
}

TEST_F(ListedAfterADeath, before_it_got_another_name) {
    server.put_directory("/d");
    server.put_file("/d/a", "content");
    auto& m = mount();
    const auto id = m.walk("/d/a");
    m.kill_and_restart();
    begin_walk();
    ASSERT_TRUE(m.run(m.fs().link(m.caller, id, fs::kRootId, "b")));
    m.fs().forget(id, 10);  // all
    EXPECT_EQ(m.stat_of("/d/a").st_nlink, 2u);
}

TEST_F(Takeover, what_was_being_released_goes_although_nobody_asks_again) {
    auto& m = mount();
    server.inject({.procedure = Procedure::setattr, .reply = Fault::Reply::ignored});
    const auto file = m.create_file("/a", O_RDWR | O_EXCL, 0640);
    core::spawn(m.fs().release(file.open));
    world.serve_what_follows();
    ASSERT_TRUE(m.client().has_ignored());
    m.kill_and_restart();
    m.kill_and_restart();
    world.serve_until([&] { return m.client().in_flight() == 0; });
    world.serve_what_follows();
    EXPECT_EQ(server.attr("/a").mode, 0640u);
    EXPECT_EQ(m.remove_file("/a"), 0);
    EXPECT_TRUE(server.names("/").empty()) << "it is not open";
}

class TakeoverOfListings : public Takeover, public ::testing::WithParamInterface<CookieStyle> {};

TEST_P(TakeoverOfListings, go_on_where_they_were) {
    server.adjust([](Behaviour& behaviour) { behaviour.cookies = GetParam(); });
    auto& m = mount();
    std::set<std::string> left;
    for (int i = 0; i < 300; ++i) {
        server.put_file(fmt::format("/file{}", i), "");
        left.insert(fmt::format("file{}", i));
    }
    const auto opened = m.run(m.fs().opendir(m.caller, fs::kRootId));
    std::uint64_t offset = 0;
    for (;;) {
        const auto items = m.read_dir(opened->open, offset, fs::Listing::names, 50);
        if (items.empty()) break;
        offset = items.back().next_offset;
        for (const auto& item : items) {
            if (item.name == "." || item.name == "..") continue;
            EXPECT_EQ(left.erase(item.name), 1u) << item.name;
        }
        m.kill_and_restart();
    }
    EXPECT_TRUE(left.empty());
    m.fs().releasedir(opened->open);
}
/// NFS-Ganesha's FSAL_MEM answers what follows the last cookie with the whole directory, many
/// times.
TEST_P(TakeoverOfListings, end_where_they_ended) {
    server.adjust([](Behaviour& behaviour) { behaviour.cookies = GetParam(); });
    server.put_directory("/d");
    server.put_directory("/none");
    for (int i = 0; i < 300; ++i) server.put_file(fmt::format("/d/file{}", i), "");
    auto& m = mount();
    for (const auto* path : {"/d", "/none"}) {
        const auto opened = m.run(m.fs().opendir(m.caller, m.walk(path)));
        std::uint64_t offset = 0;
        std::size_t names = 0;
        const auto list_on = [&] {
            for (;;) {
                const auto items = m.read_dir(opened->open, offset, fs::Listing::names, 50);
                if (items.empty()) return;
                offset = items.back().next_offset;
                names += items.size();
            }
        };
        list_on();
        const auto end = offset;
        for (int deaths = 0; deaths < 2; ++deaths) {
            m.kill_and_restart();
            server.clear_calls();
            list_on();
            EXPECT_EQ(count(Procedure::readdir) + count(Procedure::readdirplus), 0u) << path;
            EXPECT_EQ(offset, end);
        }
        server.put_file(std::string(path) + "/new", "");
        const auto before = std::exchange(names, 0);
        offset = 0;
        list_on();
        EXPECT_EQ(names, before + 1) << "rewinddir(3) begins anew";
        m.fs().releasedir(opened->open);
    }
}
INSTANTIATE_TEST_SUITE_P(
    cookies,
    TakeoverOfListings,
    ::testing::Values(CookieStyle::small, CookieStyle::high_bit, CookieStyle::scattered)
);

TEST_F(Takeover, the_arena_is_sound_after_every_store_of_a_mounts_life) {
    if (!StoreTrace::kSupported) GTEST_SKIP() << "stores cannot be traced here";
    use_callers();
    server.adjust([](Behaviour& behaviour) { behaviour.cookies = CookieStyle::high_bit; });
    auto& m = mount();
    become(kAnna);
    const auto slots = m.arena().region(fs::kSlotRegion);
    const auto after = m.arena().region(fs::kCounterRegion);
    auto* base = slots.base - slots.offset;
    std::size_t stores = 0;
    std::string damage;
    {
        const StoreTrace trace(
            {{base, slots.offset}, {after.base, (after.stride * after.capacity + 4095) & ~4095ul}},
            [&] {
                ++stores;
                const auto wrong = fs::find_damage(m.arena(), mapper::RootIdentity::refused);
                if (wrong && damage.empty()) damage = fmt::format("store {}: {}", stores, *wrong);
            }
        );
        const auto file = m.create_file("/open/a");
        m.write_at(file, 0, std::string(70'000, 'a'));
        m.write_at(file, 30'000, std::string(100, 'b'));
        m.fsync_file(file);
        become(kBert, {5});
        m.make_file("/open/b", "content");
        m.write_at(file, 10, "c");
        m.truncate_path("/open/a", 50);
        m.remove_file("/open/a");
        m.list("/open", fs::Listing::plus, 3);
        m.rename_path("/open/b", "/open/c");
        server.inject({.procedure = Procedure::write, .fail = Status::nospc});
        m.write_at(file, 0, "lost");
        m.flush_file(file);
        m.close_file(file);
        m.remove_file("/open/c");
    }
    EXPECT_EQ(damage, "");
    EXPECT_GT(stores, 100u);
}

}  // namespace
}  // namespace uidnfs::test
