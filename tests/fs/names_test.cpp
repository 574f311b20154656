// SPDX-License-Identifier: Apache-2.0
// lookup, create, mkdir, mknod, symlink, link, unlink, rmdir, rename: names and the errno of each refusal.
#include "fs/fixture.hpp"

#include <sys/sysmacros.h>

namespace uidnfs::test {
namespace {

class Names : public FsTest {};

TEST_F(Names, lookup_finds_and_counts) {
    const auto fileid = server.put_file("/a", "x");
    const auto entry = mount().lookup(fs::kRootId, "a");
    ASSERT_TRUE(entry);
    EXPECT_NE(entry->id, 0u);
    EXPECT_EQ(entry->stat.st_ino, fileid);
    EXPECT_GT(entry->attr_valid.count(), 0);
    EXPECT_GT(entry->entry_valid.count(), 0);
}

TEST_F(Names, same_file_has_the_same_inode) {
    server.put_file("/a", "x");
    EXPECT_EQ(mount().walk("/a"), mount().walk("/a"));
    EXPECT_EQ(mount().link_path("/a", "/b"), 0);
    EXPECT_EQ(mount().walk("/a"), mount().walk("/b"));
}

TEST_F(Names, another_file_under_an_old_name_has_another_inode) {
    server.adjust([](Behaviour& behaviour) { behaviour.file_ids = FileIds::reused; });
    server.put_file("/a", "x");
    const auto before = mount().walk("/a");
    const auto fileid = server.attr("/a").fileid;
    server.remove_path("/a");
    server.put_file("/a", "y");
    ASSERT_EQ(server.attr("/a").fileid, fileid) << "the server uses its numbers again";
    EXPECT_NE(mount().walk("/a"), before);
}

TEST_F(Names, forgotten_inode_ids_are_not_used_again) {
    server.put_file("/a", "x");
    auto& m = mount();
    const auto before = m.walk("/a");
    m.fs().forget(before, 1);
    EXPECT_EQ(errno_of(m.run(m.fs().getattr(m.caller, before))), ESTALE);
    EXPECT_NE(m.walk("/a"), before);
}

TEST_F(Names, inode_lives_until_the_last_lookup_is_forgotten) {
    server.put_file("/a", "x");
    auto& m = mount();
    const auto id = m.walk("/a");
    m.walk("/a");
    m.walk("/a");
    m.fs().forget(id, 2);
    EXPECT_EQ(errno_of(m.run(m.fs().getattr(m.caller, id))), 0);
    m.fs().forget(id, 1);
    EXPECT_EQ(errno_of(m.run(m.fs().getattr(m.caller, id))), ESTALE);
}

TEST_F(Names, root_is_never_forgotten) {
    mount().fs().forget(fs::kRootId, 1000);
    EXPECT_TRUE(S_ISDIR(mount().stat_id(fs::kRootId).st_mode));
}

TEST_F(Names, missing_name_is_remembered) {
    const auto entry = mount().lookup(fs::kRootId, "none");
    ASSERT_TRUE(entry);
    EXPECT_EQ(entry->id, 0u);
    EXPECT_GT(entry->entry_valid.count(), 0);
}

TEST_F(Names, lookupcache_positive_does_not_remember_missing_names) {
    options.lookup_cache = fs::LookupCache::positive;
    server.put_file("/a", "x");
    const auto missing = mount().lookup(fs::kRootId, "none");
    if (missing) {
        EXPECT_EQ(missing->id, 0u);
        EXPECT_EQ(missing->entry_valid.count(), 0);
    } else {
        EXPECT_EQ(missing.error().code(), ENOENT);
    }
    EXPECT_GT(mount().lookup(fs::kRootId, "a")->entry_valid.count(), 0);
}

TEST_F(Names, lookupcache_none_remembers_no_names) {
    options.lookup_cache = fs::LookupCache::none;
    server.put_file("/a", "x");
    EXPECT_EQ(mount().lookup(fs::kRootId, "a")->entry_valid.count(), 0);
    const auto missing = mount().lookup(fs::kRootId, "none");
    EXPECT_TRUE(!missing || missing->entry_valid.count() == 0);
}

TEST_F(Names, lookup_needs_search_permission) {
    server.put_directory("/d", 0600);
    server.put_file("/d/a", "x");
    EXPECT_EQ(errno_of(mount().lookup(mount().walk("/d"), "a")), EACCES);
}

TEST_F(Names, longest_name_and_one_longer) {
    const std::string longest(255, 'n');
    mount().make_file("/" + longest, "x");
    EXPECT_TRUE(server.exists("/" + longest));
    EXPECT_EQ(errno_of(mount().try_create("/" + longest + "n")), ENAMETOOLONG);
    EXPECT_EQ(errno_of(mount().lookup(fs::kRootId, longest + "n")), ENAMETOOLONG);
}

TEST_F(Names, any_byte_but_slash_and_nul) {
    std::string name;
    for (int byte = 1; byte < 256; ++byte) {
        if (byte != '/') name.push_back(static_cast<char>(byte));
    }
    mount().make_file("/" + name, "x");
    EXPECT_EQ(mount().names("/"), std::vector<std::string>{name});
    EXPECT_EQ(mount().content_of("/" + name), "x");
}

TEST_F(Names, deep_path) {
    std::string path;
    for (int depth = 0; depth < 100; ++depth) {
        path += "/directory" + std::to_string(depth);
        ASSERT_EQ(mount().make_dir(path), 0);
    }
    mount().make_file(path + "/a", "deep");
    EXPECT_EQ(mount().content_of(path + "/a"), "deep");
}

TEST_F(Names, exclusive_create_fails_when_the_file_exists) {
    server.put_file("/a", "x");
    EXPECT_EQ(errno_of(mount().try_create("/a", O_RDWR | O_EXCL)), EEXIST);
    EXPECT_EQ(server.content("/a"), "x");
}

TEST_F(Names, exclusive_create_sets_mode_and_times) {
    const auto before = server.attr("/").mtime;
    const auto file = mount().create_file("/a", O_RDWR | O_EXCL, 0640);
    ASSERT_EQ(mount().flush_file(file), 0);
    const auto attr = server.attr("/a");
    EXPECT_EQ(attr.mode, 0640u);
    EXPECT_GE(attr.mtime, before) << "the verifier is kept in the times until they are set";
    EXPECT_GE(attr.atime, before);
    EXPECT_EQ(mount().stat_id(file.inode).st_mode & 07777, 0640u);
    EXPECT_EQ(mount().stat_id(file.inode).st_mtim.tv_sec, attr.mtime.seconds);
    mount().close_file(file);
}

TEST_F(Names, exclusive_create_survives_a_repeated_call) {
    client_options.lost_reply = LostReply::repeat;
    server.inject({.procedure = Procedure::create, .reply = Fault::Reply::lost});
    const auto file = mount().try_create("/a", O_RDWR | O_EXCL, 0600);
    EXPECT_EQ(errno_of(file), 0);
    EXPECT_EQ(count(Procedure::create), 2u);
    mount().close_file(*file);
}

TEST_F(Names, exclusive_create_of_two_files_uses_two_verifiers) {
    const auto first = mount().create_file("/a", O_RDWR | O_EXCL);
    mount().close_file(first);
    server.remove_path("/a");
    const auto other = mount().create_file("/b", O_RDWR | O_EXCL);
    server.move_path("/b", "/a");
    EXPECT_EQ(errno_of(mount().try_create("/a", O_RDWR | O_EXCL)), EEXIST);
    mount().close_file(other);
}

TEST_F(Names, exclusive_create_without_support_is_guarded) {
    server.adjust([](Behaviour& behaviour) { behaviour.exclusive_create = Support::no; });
    const auto file = mount().create_file("/a", O_RDWR | O_EXCL, 0640);
    EXPECT_EQ(server.attr("/a").mode, 0640u);
    mount().close_file(file);
    EXPECT_EQ(errno_of(mount().try_create("/a", O_RDWR | O_EXCL)), EEXIST);
}

TEST_F(Names, exclusive_create_whose_attributes_cannot_be_set_tells_at_close) {
    for (const int flags : {O_RDWR, O_WRONLY}) {
        server.inject({.procedure = Procedure::setattr, .fail = Status::io});
        const auto file = mount().try_create("/a", flags | O_EXCL, 0600);
        ASSERT_TRUE(file);
        EXPECT_EQ(mount().flush_file(*file), EIO);
        EXPECT_EQ(mount().flush_file(*file), 0) << "once";
        mount().release_file(*file);
        EXPECT_FALSE(server.exists("/a"));
        EXPECT_FALSE(mount().exists("/a"));
    }
}

TEST_F(Names, exclusive_create_of_what_is_only_read_fails_at_once) {
    // The kernel sends no FLUSH for it.
    server.inject({.procedure = Procedure::setattr, .fail = Status::io});
    EXPECT_EQ(errno_of(mount().try_create("/a", O_RDONLY | O_EXCL, 0600)), EIO);
    EXPECT_FALSE(server.exists("/a"));
}

TEST_F(Names, exclusive_create_waits_for_its_attributes_where_everything_is_synchronous) {
    auto sync = default_options();
    sync.write_mode = fs::WriteMode::sync;
    auto noac = default_options();
    noac.timers.file_min = noac.timers.file_max = std::chrono::milliseconds(0);
    noac.timers.dir_min = noac.timers.dir_max = std::chrono::milliseconds(0);
    int number = 0;
    for (const auto& with : {sync, noac}) {
        const auto path = "/f" + std::to_string(++number);
        auto& m = add_mount(with, {});
        const auto file = m.create_file(path, O_RDWR | O_EXCL, 0640);
        EXPECT_EQ(server.attr(path).mode, 0640u);
        m.close_file(file);
    }
    const auto file = mount().create_file("/o", O_RDWR | O_EXCL | O_SYNC, 0640);
    EXPECT_EQ(server.attr("/o").mode, 0640u);
    mount().close_file(file);
}

class Owed : public FsTest {
protected:
    /// Its SETATTR is executed only when resend_ignored() is called.
    File create(mode_t mode = 0640) {
        server.inject({.procedure = Procedure::setattr, .reply = Fault::Reply::ignored});
        return mount().create_file("/a", O_RDWR | O_EXCL, mode);
    }
    /// Whether the operation ends only after the SETATTR was answered.
    template <class T>
    bool waits(core::Task<T> operation) {
        bool ended = false;
        const auto watch = [&]() -> core::Task<void> {
            auto running = std::move(operation);
            co_await std::move(running);
            ended = true;
        };
        core::spawn(watch());
        world.serve_what_follows();
        const bool waited = !ended;
        mount().client().resend_ignored();
        world.serve_until([&] { return ended; });
        return waited;
    }
};

TEST_F(Owed, attributes_do_not_keep_the_maker_of_a_file_from_writing) {
    const auto file = create();
    mount().write_at(file, 0, "content");
    EXPECT_TRUE(waits(mount().fs().flush(file.open)));
    EXPECT_EQ(server.attr("/a").mode, 0640u);
    EXPECT_EQ(server.disk_content("/a"), "content");
    mount().release_file(file);
    EXPECT_EQ(mount().stat_of("/a").st_mode & 07777, 0640u);
    EXPECT_EQ(mount().stat_of("/a").st_size, 7);
}

TEST_F(Owed, attributes_are_shown_for_no_moment_before_they_are_set) {
    auto& m = mount();
    const auto file = create();
    const auto found = m.lookup(fs::kRootId, "a");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->stat.st_mode & 07777, 0640u);
    EXPECT_EQ(found->attr_valid.count(), 0);
    EXPECT_TRUE(waits(m.fs().getattr(m.caller, file.inode)));
    EXPECT_GT(m.lookup(fs::kRootId, "a")->attr_valid.count(), 0);
    m.close_file(file);
}

TEST_F(Owed, whoever_needs_the_attributes_waits) {
    auto& m = mount();
    fs::SetAttrRequest chmod;
    chmod.mode = 0600;
    const std::vector<std::function<bool(const File&)>> works{
        [&](const File& file) { return waits(m.fs().open(m.caller, file.inode, O_RDONLY)); },
        [&](const File& file) { return waits(m.fs().access(m.caller, file.inode, R_OK)); },
        [&](const File& file) { return waits(m.fs().setattr(m.caller, file.inode, chmod)); },
        [&](const File& file) { return waits(m.fs().read(file.open, 0, 10)); },
        [&](const File& file) { return waits(m.fs().fsync(file.open)); },
    };
    for (std::size_t i = 0; i < works.size(); ++i) {
        const auto file = create();
        EXPECT_TRUE(works[i](file)) << i;
        EXPECT_EQ(server.attr("/a").mode, i == 2 ? 0600u : 0640u) << i;
        m.close_file(file);
        ASSERT_EQ(m.remove_file("/a"), 0);
    }
}

TEST_F(Names, create_where_handles_and_attributes_are_missing) {
    server.adjust([](Behaviour& behaviour) {
        behaviour.created_handles = Presence::never;
        behaviour.post_op_attrs = Presence::never;
        behaviour.pre_op_attrs = Presence::never;
    });
    auto& m = mount();
    m.make_file("/a", "content");
    EXPECT_EQ(m.content_of("/a"), "content");
    const auto exclusive = m.create_file("/x", O_RDWR | O_EXCL, 0600);
    EXPECT_EQ(m.close_file(exclusive), 0);
    EXPECT_EQ(m.make_dir("/d"), 0);
    EXPECT_EQ(m.symlink_path("a", "/l"), 0);
    EXPECT_EQ(m.rename_path("/a", "/d/a"), 0);
    EXPECT_EQ(m.names("/"), (std::vector<std::string>{"d", "l", "x"}));
    EXPECT_EQ(m.stat_of("/d/a").st_size, 7);
    EXPECT_EQ(m.chmod_path("/d/a", 0600), 0);
    EXPECT_EQ(m.stat_of("/d/a").st_mode & 0777, 0600u);
}

TEST_F(Names, create_where_every_second_part_is_missing) {
    server.adjust([](Behaviour& behaviour) {
        behaviour.created_handles = Presence::alternating;
        behaviour.post_op_attrs = Presence::alternating;
        behaviour.pre_op_attrs = Presence::alternating;
    });
    auto& m = mount();
    for (int i = 0; i < 10; ++i) {
        const auto name = "/f" + std::to_string(i);
        m.make_file(name, name);
        EXPECT_EQ(m.content_of(name), name);
        EXPECT_EQ(m.make_dir("/d" + std::to_string(i)), 0);
    }
    EXPECT_EQ(m.names("/").size(), 20u);
}

TEST_F(Names, create_is_refused_in_a_directory_without_write_permission) {
    server.put_directory("/d", 0555);
    EXPECT_EQ(errno_of(mount().try_create("/d/a")), EACCES);
    EXPECT_EQ(mount().make_dir("/d/b"), EACCES);
    EXPECT_EQ(mount().symlink_path("x", "/d/c"), EACCES);
}

TEST_F(Names, mkdir_makes_a_directory_with_its_mode) {
    EXPECT_EQ(mount().make_dir("/d", 0750), 0);
    EXPECT_EQ(server.attr("/d").mode, 0750u);
    EXPECT_EQ(mount().make_dir("/d"), EEXIST);
    EXPECT_EQ(mount().stat_of("/").st_nlink, 3u);
}

TEST_F(Names, rmdir_removes_only_empty_directories) {
    mount().make_dir("/d");
    mount().make_file("/d/a", "x");
    EXPECT_EQ(mount().remove_dir("/d"), ENOTEMPTY);
    EXPECT_EQ(mount().remove_file("/d/a"), 0);
    EXPECT_EQ(mount().remove_dir("/d"), 0);
    EXPECT_FALSE(mount().exists("/d"));
    EXPECT_EQ(mount().remove_dir("/d"), ENOENT);
}

TEST_F(Names, mknod_makes_fifos_and_sockets) {
    auto& m = mount();
    const auto fifo = m.run(m.fs().mknod(m.caller, fs::kRootId, "fifo", S_IFIFO | 0640, 0));
    const auto socket = m.run(m.fs().mknod(m.caller, fs::kRootId, "sock", S_IFSOCK | 0600, 0));
    ASSERT_TRUE(fifo);
    ASSERT_TRUE(socket);
    EXPECT_EQ(fifo->stat.st_mode, static_cast<mode_t>(S_IFIFO | 0640));
    EXPECT_TRUE(S_ISSOCK(socket->stat.st_mode));
    EXPECT_EQ(server.attr("/fifo").type, nfs::FileType::fifo);
}

TEST_F(Names, mknod_of_devices_is_the_servers_decision) {
    auto& m = mount();
    const auto device = makedev(1, 3);
    EXPECT_EQ(
        errno_of(m.run(m.fs().mknod(m.caller, fs::kRootId, "null", S_IFCHR | 0600, device))), EPERM
    );
    server.adjust([](Behaviour& behaviour) { behaviour.root = RootAccess::trusted; });
    auto as_root = options;
    as_root.credential = credential_of(0, 0);
    expected_uids.push_back(0);
    auto& root = add_mount(as_root, client_options);
    const auto made =
        root.run(root.fs().mknod(root.caller, fs::kRootId, "null", S_IFCHR | 0600, device));
    ASSERT_TRUE(made);
    EXPECT_EQ(made->stat.st_rdev, device);
    EXPECT_EQ(server.attr("/null").rdev_minor, 3u);
}

TEST_F(Names, mknod_of_a_regular_file_creates_it) {
    auto& m = mount();
    const auto made = m.run(m.fs().mknod(m.caller, fs::kRootId, "a", S_IFREG | 0640, 0));
    ASSERT_TRUE(made);
    EXPECT_TRUE(S_ISREG(made->stat.st_mode));
    EXPECT_EQ(
        errno_of(m.run(m.fs().mknod(m.caller, fs::kRootId, "a", S_IFREG | 0640, 0))), EEXIST
    );
}

TEST_F(Names, symlink_keeps_its_text) {
    EXPECT_EQ(mount().symlink_path("../x/./y", "/l"), 0);
    auto& m = mount();
    EXPECT_EQ(*m.run(m.fs().readlink(m.caller, m.walk("/l"))), "../x/./y");
    EXPECT_EQ(m.symlink_path("other", "/l"), EEXIST);
}

TEST_F(Names, hard_links_share_content_and_count) {
    mount().make_file("/a", "x");
    EXPECT_EQ(mount().link_path("/a", "/b"), 0);
    EXPECT_EQ(mount().stat_of("/a").st_nlink, 2u);
    EXPECT_EQ(mount().remove_file("/a"), 0);
    EXPECT_EQ(mount().stat_of("/b").st_nlink, 1u);
    EXPECT_EQ(mount().content_of("/b"), "x");
}

TEST_F(Names, link_refusals) {
    mount().make_file("/a", "x");
    mount().make_file("/b", "y");
    mount().make_dir("/d");
    EXPECT_EQ(mount().link_path("/a", "/b"), EEXIST);
    EXPECT_EQ(mount().link_path("/d", "/e"), EPERM);
    server.adjust([](Behaviour& behaviour) { behaviour.link_max = 2; });
    EXPECT_EQ(mount().link_path("/a", "/c"), 0);
    EXPECT_EQ(mount().link_path("/a", "/d/c"), EMLINK);
}

TEST_F(Names, unlink_refusals) {
    mount().make_dir("/d");
    auto& m = mount();
    EXPECT_EQ(m.remove_file("/none"), ENOENT);
    const auto code = m.remove_file("/d");
    EXPECT_TRUE(code == EISDIR || code == EPERM) << code;
    server.put_file("/d/theirs", "x");
    server.set_mode("/d", 01777);
    server.set_owner("/d", 4242, 4242);
    server.set_owner("/d/theirs", 4242, 4242);
    const auto sticky = m.remove_file("/d/theirs");
    EXPECT_TRUE(sticky == EPERM || sticky == EACCES) << sticky;
}

TEST_F(Names, rename_moves) {
    mount().make_file("/a", "x");
    mount().make_dir("/d");
    const auto id = mount().walk("/a");
    EXPECT_EQ(mount().rename_path("/a", "/d/b"), 0);
    EXPECT_FALSE(mount().exists("/a"));
    EXPECT_EQ(mount().walk("/d/b"), id);
}

TEST_F(Names, rename_replaces) {
    mount().make_file("/a", "new");
    mount().make_file("/b", "old");
    EXPECT_EQ(mount().rename_path("/a", "/b"), 0);
    EXPECT_EQ(mount().content_of("/b"), "new");
    EXPECT_EQ(server.names("/"), std::vector<std::string>{"b"});
}

TEST_F(Names, rename_refusals) {
    auto& m = mount();
    m.make_dir("/d");
    m.make_dir("/d/below");
    m.make_dir("/full");
    m.make_file("/full/a", "x");
    m.make_file("/file", "x");
    m.make_dir("/empty");
    EXPECT_EQ(m.rename_path("/d", "/d/below/d"), EINVAL);
    EXPECT_EQ(m.rename_path("/d", "/full"), ENOTEMPTY);
    EXPECT_EQ(m.rename_path("/file", "/empty"), EISDIR);
    EXPECT_EQ(m.rename_path("/empty", "/file"), ENOTDIR);
    EXPECT_EQ(m.rename_path("/none", "/x"), ENOENT);
    EXPECT_EQ(m.rename_path("/d", "/empty"), 0);
}

TEST_F(Names, rename_of_one_file_onto_its_other_name_does_nothing) {
    mount().make_file("/a", "x");
    mount().link_path("/a", "/b");
    EXPECT_EQ(mount().rename_path("/a", "/b"), 0);
    EXPECT_EQ(server.names("/"), (std::vector<std::string>{"a", "b"}));
}

TEST_F(Names, rename_flags_fall_back_with_einval) {
    mount().make_file("/a", "x");
    mount().make_file("/b", "y");
    EXPECT_EQ(mount().rename_path("/a", "/c", fs::RenameMode::no_replace), EINVAL);
    EXPECT_EQ(mount().rename_path("/a", "/b", fs::RenameMode::exchange), EINVAL);
    EXPECT_EQ(mount().content_of("/a"), "x");
}

TEST_F(Names, editors_save_keeps_the_content) {
    auto& m = mount();
    m.make_file("/text", "old");
    const auto temporary = m.create_file("/text.new", O_WRONLY | O_EXCL);
    m.write_at(temporary, 0, "new content");
    EXPECT_EQ(m.fsync_file(temporary), 0);
    EXPECT_EQ(m.close_file(temporary), 0);
    EXPECT_EQ(m.rename_path("/text.new", "/text"), 0);
    EXPECT_EQ(m.content_of("/text"), "new content");
    server.crash();
    EXPECT_EQ(server.content("/text"), "new content");
}

TEST_F(Names, file_replaced_on_the_server_is_found_by_path_at_once) {
    server.put_file("/a", "old");
    auto& m = mount();
    EXPECT_EQ(m.content_of("/a"), "old");
    server.remove_path("/a");
    server.put_file("/a", "new");
    EXPECT_EQ(m.content_of("/a"), "new");
}

TEST_F(Names, stale_open_by_a_remembered_inode_is_handled_once) {
    server.put_file("/a", "old");
    auto& m = mount();
    const auto id = m.walk("/a");
    server.remove_path("/a");
    // The kernel's dentry still leads to the old inode: it must hear that it is stale, to look up again.
    EXPECT_EQ(errno_of(m.run(m.fs().open(m.caller, id, O_RDONLY))), ESTALE);
    server.put_file("/a", "new");
    EXPECT_EQ(m.content_of("/a"), "new");
}

TEST_F(Names, open_file_removed_by_another_client_is_stale) {
    server.put_file("/a", "x");
    const auto file = mount().open_file("/a");
    server.remove_path("/a");
    EXPECT_EQ(errno_of(mount().try_read(file, 0, 1)), ESTALE);
    mount().release_file(file);
}

TEST_F(Names, stale_directory_is_told) {
    server.put_directory("/d");
    auto& m = mount();
    const auto id = m.walk("/d");
    server.remove_path("/d");
    EXPECT_EQ(errno_of(m.lookup(id, "a")), ESTALE);
    EXPECT_EQ(errno_of(m.run(m.fs().mkdir(m.caller, id, "b", S_IFDIR | 0755))), ESTALE);
    EXPECT_FALSE(m.exists("/d"));
}

TEST_F(Names, what_was_removed_here_can_be_statted_by_who_holds_it) {
    auto& m = mount();
    m.make_dir("/d", 0750);
    m.make_dir("/over");
    m.make_file("/a", "abc");
    const auto directory = m.walk("/d");
    const auto replaced = m.walk("/over");
    const auto file = m.walk("/a");
    EXPECT_EQ(m.remove_dir("/d"), 0);
    m.make_dir("/new");
    EXPECT_EQ(m.rename_path("/new", "/over"), 0);
    EXPECT_EQ(m.remove_file("/a"), 0);
    for (const auto id : {directory, replaced, file}) EXPECT_EQ(m.stat_id(id).st_nlink, 0u);
    EXPECT_EQ(m.stat_id(directory).st_mode, S_IFDIR | 0750u);
    EXPECT_EQ(m.stat_id(file).st_size, 3);
    // `ls` in a working directory that is gone.
    EXPECT_EQ(errno_of(m.run(m.fs().opendir(m.caller, directory))), 0);
    EXPECT_EQ(errno_of(m.run(m.fs().open(m.caller, file, O_RDONLY))), ESTALE);
}

TEST_F(Names, parallel_lookups_take_one_round_trip) {
    for (int i = 0; i < 4; ++i) server.put_file("/f" + std::to_string(i), "x");
    auto& m = mount();
    std::vector<core::Task<core::Result<fs::Entry>>> tasks;
    for (int i = 0; i < 4; ++i) {
        tasks.push_back(m.fs().lookup(m.caller, fs::kRootId, "f" + std::to_string(i)));
    }
    for (const auto& entry : world.run_all(std::move(tasks))) EXPECT_EQ(errno_of(entry), 0);
    EXPECT_EQ(m.client().most_in_flight(), 4u);
    EXPECT_EQ(count_all(), 4u);
}

TEST_F(Names, two_creates_of_one_name_at_once_give_one_inode) {
    client_options.travel.most_rounds = 5;
    auto& m = mount();
    std::vector<core::Task<core::Result<fs::CreateReply>>> tasks;
    for (int i = 0; i < 3; ++i) {
        tasks.push_back(m.fs().create(m.caller, fs::kRootId, "a", S_IFREG | 0600, O_RDWR | O_CREAT));
    }
    const auto made = world.run_all(std::move(tasks));
    for (const auto& reply : made) {
        ASSERT_EQ(errno_of(reply), 0);
        EXPECT_EQ(reply->entry.id, made[0]->entry.id);
        m.run(m.fs().release(reply->open.open));
    }
    m.fs().forget(made[0]->entry.id, 3);
    EXPECT_EQ(errno_of(m.run(m.fs().getattr(m.caller, made[0]->entry.id))), ESTALE);
}

}  // namespace
}  // namespace uidnfs::test
