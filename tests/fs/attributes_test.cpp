// SPDX-License-Identifier: Apache-2.0
// getattr, setattr, access, readlink, statfs: what applications see and what goes to the server.
#include "fs/fixture.hpp"

#include <sys/sysmacros.h>
#include <unistd.h>

namespace uidnfs::test {
namespace {

class Attributes : public FsTest {};

TEST_F(Attributes, everything_belongs_to_the_application_user) {
    server.put_file("/a", "x");
    server.set_owner("/a", 4242, 4343);
    const auto st = mount().stat_of("/a");
    EXPECT_EQ(st.st_uid, kAppUid);
    EXPECT_EQ(st.st_gid, kAppGid);
}

TEST_F(Attributes, come_from_the_server) {
    const auto fileid = server.put_file("/a", "hello", 0640);
    const auto st = mount().stat_of("/a");
    const auto attr = server.attr("/a");
    EXPECT_EQ(st.st_ino, fileid);
    EXPECT_EQ(st.st_mode, static_cast<mode_t>(S_IFREG | 0640));
    EXPECT_EQ(st.st_size, 5);
    EXPECT_EQ(st.st_nlink, 1u);
    EXPECT_EQ(st.st_blocks, 8);
    EXPECT_EQ(st.st_mtim.tv_sec, attr.mtime.seconds);
    EXPECT_EQ(st.st_mtim.tv_nsec, attr.mtime.nanoseconds);
    EXPECT_EQ(st.st_ctim.tv_nsec, attr.ctime.nanoseconds);
    EXPECT_EQ(st.st_atim.tv_nsec, attr.atime.nanoseconds);
}

TEST_F(Attributes, of_a_file_that_is_removed_while_its_bytes_travel_count_them) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "hello");
    m.release_file(file);  // one thread closes what another one writes to
    const auto id = m.walk("/a");
    server.inject({.procedure = Procedure::write, .before = [&] { server.remove_path("/a"); }});
    EXPECT_EQ(m.stat_id(id).st_size, 5);
}

TEST_F(Attributes, of_a_file_that_is_removed_are_not_those_from_before_own_bytes) {
    server.adjust([](Behaviour& behaviour) { behaviour.post_op_attrs = Presence::never; });
    auto& m = mount();
    const auto file = m.create_file("/a");
    const auto id = m.walk("/a");
    m.write_at(file, 0, "hello");
    EXPECT_EQ(m.close_file(file), 0);
    server.remove_path("/a");
    const auto told = m.run(m.fs().getattr(m.caller, id));
    ASSERT_FALSE(told) << told->stat.st_size;
    EXPECT_EQ(told.error().code(), ESTALE) << "the kernel looks the name up again";
}

TEST_F(Attributes, types_are_shown) {
    server.put_directory("/d");
    server.put_symlink("/l", "target");
    EXPECT_TRUE(S_ISDIR(mount().stat_of("/d").st_mode));
    const auto link = mount().stat_of("/l");
    EXPECT_TRUE(S_ISLNK(link.st_mode));
    EXPECT_EQ(link.st_size, 6);
    EXPECT_EQ(mount().stat_id(fs::kRootId).st_ino, server.attr("/").fileid);
}

TEST_F(Attributes, unknown_inode_is_stale) {
    EXPECT_EQ(errno_of(mount().run(mount().fs().getattr(mount().caller, 4711))), ESTALE);
}

TEST_F(Attributes, chmod_goes_to_the_server) {
    server.put_file("/a", "x", 0644);
    EXPECT_EQ(mount().chmod_path("/a", 04751), 0);
    EXPECT_EQ(server.attr("/a").mode, 04751u);
    EXPECT_EQ(mount().stat_of("/a").st_mode & 07777, 04751u);
}

TEST_F(Attributes, chmod_of_a_foreign_file_is_refused_by_the_server) {
    server.put_file("/a", "x", 0644);
    server.set_owner("/a", 4242, 4242);
    EXPECT_EQ(mount().chmod_path("/a", 0600), EPERM);
}

TEST_F(Attributes, chown_to_the_application_user_sends_nothing) {
    server.put_file("/a", "x");
    mount().walk("/a");
    server.clear_calls();
    EXPECT_EQ(mount().chown_path("/a", kAppUid, kAppGid), 0);
    EXPECT_EQ(count(Procedure::setattr), 0u);
    EXPECT_EQ(server.attr("/a").uid.value(), kUid);
}

TEST_F(Attributes, chown_elsewhere_is_not_permitted) {
    server.put_file("/a", "x");
    EXPECT_EQ(mount().chown_path("/a", 3000, kAppGid), EPERM);
    EXPECT_EQ(mount().chown_path("/a", kAppUid, 3000), EPERM);
    EXPECT_EQ(mount().chown_path("/a", 0, 0), EPERM);
    EXPECT_EQ(count(Procedure::setattr), 0u);
}

TEST_F(Attributes, refused_chown_does_not_carry_out_the_chmod_beside_it) {
    server.put_file("/a", "x", 0644);
    fs::SetAttrRequest request;
    request.mode = 0600;
    request.uid = mapper::ClientUid(3000);
    EXPECT_EQ(mount().set_attributes("/a", request), EPERM);
    EXPECT_EQ(server.attr("/a").mode, 0644u);
}

TEST_F(Attributes, times_are_set_to_the_nanosecond) {
    server.put_file("/a", "x");
    fs::SetAttrRequest request;
    request.atime = {fs::SetAttrRequest::TimeRequest::How::set, {1'000'000'000, 1}};
    request.mtime = {fs::SetAttrRequest::TimeRequest::How::set, {4'294'967'295, 999'999'999}};
    EXPECT_EQ(mount().set_attributes("/a", request), 0);
    const auto st = mount().stat_of("/a");
    EXPECT_EQ(st.st_atim.tv_sec, 1'000'000'000);
    EXPECT_EQ(st.st_atim.tv_nsec, 1);
    EXPECT_EQ(st.st_mtim.tv_sec, 4'294'967'295);
    EXPECT_EQ(st.st_mtim.tv_nsec, 999'999'999);
}

TEST_F(Attributes, omitted_time_stays) {
    server.put_file("/a", "x");
    const auto before = server.attr("/a");
    fs::SetAttrRequest request;
    request.atime = {fs::SetAttrRequest::TimeRequest::How::set, {77, 0}};
    EXPECT_EQ(mount().set_attributes("/a", request), 0);
    EXPECT_EQ(server.attr("/a").mtime, before.mtime);
    EXPECT_EQ(server.attr("/a").atime.seconds, 77);
}

TEST_F(Attributes, now_is_the_servers_now) {
    server.with_clock([](ServerClock& clock) { clock.advance(std::chrono::hours(24 * 365)); });
    server.put_file("/a", "x");
    fs::SetAttrRequest request;
    request.atime.how = fs::SetAttrRequest::TimeRequest::How::now;
    request.mtime.how = fs::SetAttrRequest::TimeRequest::How::now;
    EXPECT_EQ(mount().set_attributes("/a", request), 0);
    const auto attr = server.attr("/a");
    EXPECT_EQ(attr.mtime, attr.ctime);
    EXPECT_EQ(attr.atime, attr.ctime);
}

TEST_F(Attributes, times_outside_of_32_bits_are_cut) {
    server.put_file("/a", "x");
    fs::SetAttrRequest request;
    request.mtime = {fs::SetAttrRequest::TimeRequest::How::set, {5'000'000'000, 5}};
    request.atime = {fs::SetAttrRequest::TimeRequest::How::set, {-1, 0}};
    EXPECT_EQ(mount().set_attributes("/a", request), 0);
    EXPECT_EQ(server.attr("/a").mtime.seconds, 4'294'967'295);
    EXPECT_EQ(server.attr("/a").atime.seconds, 0);
}

TEST_F(Attributes, access_is_what_the_server_grants) {
    server.put_file("/mine", "x", 0400);
    server.put_file("/theirs", "x", 0602);
    server.set_owner("/theirs", 4242, 4242);
    EXPECT_EQ(mount().access_path("/mine", R_OK), 0);
    EXPECT_EQ(mount().access_path("/mine", W_OK), EACCES);
    EXPECT_EQ(mount().access_path("/theirs", R_OK), EACCES);
    EXPECT_EQ(mount().access_path("/theirs", W_OK), 0);
    EXPECT_EQ(mount().access_path("/mine", F_OK), 0);
}

TEST_F(Attributes, access_of_a_directory_needs_lookup_for_x) {
    server.put_directory("/open", 0755);
    server.put_directory("/shut", 0600);
    EXPECT_EQ(mount().access_path("/open", X_OK), 0);
    EXPECT_EQ(mount().access_path("/shut", X_OK), EACCES);
    EXPECT_EQ(mount().access_path("/shut", R_OK | W_OK), 0);
}

TEST_F(Attributes, access_is_remembered_as_long_as_attributes) {
    server.put_file("/a", "x");
    const auto id = mount().walk("/a");
    auto& m = mount();
    m.run(m.fs().access(m.caller, id, R_OK));
    server.clear_calls();
    EXPECT_EQ(errno_of(m.run(m.fs().access(m.caller, id, W_OK))), 0);
    EXPECT_EQ(count(Procedure::access), 0u);
    world.clock.advance(std::chrono::seconds(61));
    m.run(m.fs().access(m.caller, id, R_OK));
    EXPECT_EQ(count(Procedure::access), 1u);
}

TEST_F(Attributes, access_is_asked_again_after_chmod) {
    server.put_file("/a", "x", 0644);
    EXPECT_EQ(mount().access_path("/a", W_OK), 0);
    EXPECT_EQ(mount().chmod_path("/a", 0444), 0);
    EXPECT_EQ(mount().access_path("/a", W_OK), EACCES);
}

TEST_F(Attributes, names_in_a_directory_that_may_not_be_searched_any_more_are_forgotten) {
    server.put_directory("/d", 0700);
    server.put_file("/d/f", "x");
    mount().walk("/d/f");
    EXPECT_EQ(mount().chmod_path("/d", 0711), 0);
    EXPECT_EQ(mount().invalidated().all_names_count, 0);
    EXPECT_EQ(mount().chmod_path("/d", 0600), 0);
    EXPECT_EQ(mount().invalidated().all_names_count, 1);
}

TEST_F(Attributes, absent_names_in_a_directory_that_may_not_be_searched_any_more_are_forgotten) {
    server.put_directory("/d", 0700);
    auto& m = mount();
    const auto missing = m.run(m.fs().lookup(m.caller, m.walk("/d"), "f"));
    ASSERT_TRUE(missing);
    EXPECT_EQ(missing->id, 0u);
    EXPECT_EQ(mount().chmod_path("/d", 0600), 0);
    EXPECT_EQ(mount().invalidated().all_names_count, 1);
}

TEST_F(Attributes, supplementary_groups_count) {
    server.put_file("/a", "x", 0060);
    server.set_owner("/a", 4242, 77);
    EXPECT_EQ(mount().access_path("/a", R_OK), EACCES);
    auto with_group = options;
    with_group.credential = credential_of(kUid, kGid, {5, 77});
    auto& other = add_mount(with_group, client_options);
    EXPECT_EQ(other.access_path("/a", R_OK), 0);
}

TEST_F(Attributes, readlink_gives_the_target) {
    server.put_symlink("/l", "../some where/else");
    auto& m = mount();
    const auto target = m.run(m.fs().readlink(m.caller, m.walk("/l")));
    ASSERT_TRUE(target);
    EXPECT_EQ(*target, "../some where/else");
}

TEST_F(Attributes, a_lookup_settles_what_replies_of_writes_left_open) {
    auto& m = mount();
    m.make_file("/a", "x");
    const auto file = m.open_file("/a", O_RDWR);
    const auto show = [&](Presence presence) {
        server.adjust([=](Behaviour& b) { b.post_op_attrs = b.pre_op_attrs = presence; });
    };
    show(Presence::never);
    ASSERT_TRUE(m.try_write(file, 0, "longer"));
    EXPECT_EQ(m.close_file(file), 0);
    show(Presence::always);
    world.clock.advance(std::chrono::minutes(10));
    server.clear_calls();
    ASSERT_TRUE(m.lookup(fs::kRootId, "a"));
    EXPECT_EQ(server.count(Procedure::lookup), 1u);
    EXPECT_EQ(server.count(Procedure::getattr), 0u);
    EXPECT_EQ(m.stat_of("/a").st_size, 6);
}

TEST_F(Attributes, readlink_of_a_file_is_invalid) {
    server.put_file("/a", "x");
    auto& m = mount();
    EXPECT_EQ(errno_of(m.run(m.fs().readlink(m.caller, m.walk("/a")))), EINVAL);
}

TEST_F(Attributes, statfs_combines_fsstat_and_pathconf) {
    server.adjust([](Behaviour& behaviour) {
        behaviour.capacity = 1 << 30;
        behaviour.name_max = 200;
    });
    auto& m = mount();
    const auto stat = m.run(m.fs().statfs(m.caller, fs::kRootId));
    ASSERT_TRUE(stat);
    EXPECT_EQ(stat->f_blocks * stat->f_frsize, 1ul << 30);
    EXPECT_EQ(stat->f_bavail, stat->f_bfree / 2);
    EXPECT_EQ(stat->f_namemax, 200u);
    EXPECT_EQ(stat->f_files, 1'000'000u);
}

TEST_F(Attributes, names_may_be_as_long_as_usual_where_the_server_says_0) {
    server.adjust([](Behaviour& behaviour) { behaviour.name_max = 0; });
    auto& m = mount();
    const auto stat = m.run(m.fs().statfs(m.caller, fs::kRootId));
    ASSERT_TRUE(stat);
    EXPECT_EQ(stat->f_namemax, 255u);
}

TEST_F(Attributes, statfs_answers_from_what_is_known_when_the_server_is_silent) {
    auto& m = mount();
    const auto first = m.run(m.fs().statfs(m.caller, fs::kRootId));
    ASSERT_TRUE(first);
    server.inject({.procedure = Procedure::fsstat, .reply = Fault::Reply::ignored});
    const auto begin = std::chrono::steady_clock::now();
    const auto second_answer = m.run(m.fs().statfs(m.caller, fs::kRootId));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1500));
    ASSERT_TRUE(second_answer);
    EXPECT_EQ(second_answer->f_blocks, first->f_blocks);
}

TEST_F(Attributes, a_server_that_does_not_say_how_full_it_is_has_room) {
    auto& m = mount();
    for (const auto status : {Status::notsupp, Status::acces}) {
        server.inject({.procedure = Procedure::fsstat, .fail = status});
        const auto stat = m.run(m.fs().statfs(m.caller, fs::kRootId));
        ASSERT_TRUE(stat);
        EXPECT_EQ(stat->f_blocks * stat->f_frsize, 1ul << 50);
        EXPECT_EQ(stat->f_bavail, stat->f_blocks) << "nobody is kept from writing";
        EXPECT_LE(stat->f_blocks, std::uint32_t(-1)) << "32-bit programs get EOVERFLOW";
        EXPECT_EQ(stat->f_namemax, 255u);
        EXPECT_EQ(stat->f_files, 0u) << "files are not counted";
    }
    server.inject({.procedure = Procedure::fsstat, .fail = Status::io});
    EXPECT_EQ(m.run(m.fs().statfs(m.caller, fs::kRootId)).error().code(), EIO)
        << "a broken disk is no room";
    const auto stat = m.run(m.fs().statfs(m.caller, fs::kRootId));
    ASSERT_TRUE(stat);
    EXPECT_EQ(stat->f_files, 1'000'000u) << "once it says, that is shown";
}

TEST_F(Attributes, a_server_that_said_once_how_full_it_is_is_remembered) {
    auto& m = mount();
    const auto first = m.run(m.fs().statfs(m.caller, fs::kRootId));
    ASSERT_TRUE(first);
    server.inject({.procedure = Procedure::fsstat, .fail = Status::io});
    const auto second_answer = m.run(m.fs().statfs(m.caller, fs::kRootId));
    ASSERT_TRUE(second_answer);
    EXPECT_EQ(second_answer->f_blocks, first->f_blocks);
}

TEST_F(Attributes, statfs_of_a_root_that_is_gone_is_stale) {
    server.inject({.procedure = Procedure::fsstat, .fail = Status::stale});
    EXPECT_EQ(errno_of(mount().run(mount().fs().statfs(mount().caller, fs::kRootId))), ESTALE);
}

TEST_F(Attributes, stat_of_the_root_answers_when_the_server_is_silent) {
    auto& m = mount();
    m.stat_id(fs::kRootId);
    world.clock.advance(std::chrono::minutes(10));
    server.inject({.times = 100, .reply = Fault::Reply::ignored});
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_TRUE(S_ISDIR(m.stat_id(fs::kRootId).st_mode));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1500));
}

TEST_F(Attributes, df_opens_the_root_first_and_waits_once_in_all) {
    auto& m = mount();
    m.run(m.fs().statfs(m.caller, fs::kRootId));
    world.clock.advance(std::chrono::minutes(10));
    server.inject({.times = 100, .reply = Fault::Reply::ignored});
    const auto begin = std::chrono::steady_clock::now();
    const auto opened = m.run(m.fs().opendir(m.caller, fs::kRootId));
    ASSERT_TRUE(opened);
    m.stat_id(fs::kRootId);
    EXPECT_TRUE(m.run(m.fs().statfs(m.caller, fs::kRootId)));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1500));
    m.fs().releasedir(opened->open);
}

TEST_F(Attributes, asking_again_and_again_leaves_no_calls_behind) {
    auto& m = mount();
    m.run(m.fs().statfs(m.caller, fs::kRootId));
    world.clock.advance(std::chrono::minutes(10));
    server.inject({.times = 1000, .reply = Fault::Reply::ignored});
    server.clear_calls();
    for (int i = 0; i < 20; ++i) {
        m.run(m.fs().statfs(m.caller, fs::kRootId));
        m.stat_id(fs::kRootId);
    }
    EXPECT_EQ(count_all(), 2u);
}

TEST_F(Attributes, the_first_statfs_answers_although_the_server_fell_silent) {
    auto& m = mount();
    m.run(m.fs().warm());
    server.inject({.times = 100, .reply = Fault::Reply::ignored});
    EXPECT_TRUE(m.run(m.fs().statfs(m.caller, fs::kRootId)));
}

TEST_F(Attributes, a_root_that_may_not_be_read_is_refused) {
    server.set_mode("/", 0711);
    EXPECT_EQ(errno_of(mount().run(mount().fs().opendir(mount().caller, fs::kRootId))), EACCES);
}

TEST_F(Attributes, gate_refuses_other_users) {
    server.put_file("/a", "x");
    auto& m = mount();
    const auto id = m.walk("/a");
    auto other = m.caller;
    other.uid = mapper::ClientUid(3000);
    server.clear_calls();
    EXPECT_EQ(errno_of(m.run(m.fs().open(other, id, O_RDONLY))), EACCES);
    EXPECT_EQ(errno_of(m.run(m.fs().opendir(other, fs::kRootId))), EACCES);
    EXPECT_EQ(errno_of(m.run(m.fs().lookup(other, fs::kRootId, "a"))), EACCES);
    EXPECT_EQ(errno_of(m.run(m.fs().unlink(other, fs::kRootId, "a"))), EACCES);
    EXPECT_EQ(errno_of(m.run(m.fs().access(other, id, R_OK))), EACCES);
    EXPECT_EQ(count_all(), 0u);
    EXPECT_GE(m.fs().status().refused_callers, 5u);
}

TEST_F(Attributes, gate_lets_root_in_unless_strict) {
    server.put_file("/a", "x");
    auto& m = mount();
    auto root = m.caller;
    root.uid = mapper::ClientUid(0);
    const auto id = m.walk("/a");
    EXPECT_EQ(errno_of(m.run(m.fs().open(root, id, O_RDONLY))), 0);

    auto strict = options;
    strict.gate = mapper::Gate(mapper::Access::strict, mapper::ClientUid(kAppUid));
    auto& other = add_mount(strict, client_options);
    const auto other_id = other.walk("/a");
    EXPECT_EQ(errno_of(other.run(other.fs().open(root, other_id, O_RDONLY))), EACCES);
}

class ReadOnly : public FsTest {
protected:
    void SetUp() override {
        FsTest::SetUp();
        options.writable = fs::Writable::no;
        server.put_file("/a", "x");
        server.put_directory("/d");
    }
};

TEST_F(ReadOnly, nothing_is_changed_and_nothing_is_sent) {
    auto& m = mount();
    m.walk("/a");
    m.walk("/d");
    server.clear_calls();
    EXPECT_EQ(errno_of(m.try_open("/a", O_RDWR)), EROFS);
    EXPECT_EQ(errno_of(m.try_open("/a", O_RDONLY | O_TRUNC)), EROFS);
    EXPECT_EQ(errno_of(m.try_create("/b")), EROFS);
    EXPECT_EQ(m.make_dir("/e"), EROFS);
    EXPECT_EQ(m.remove_dir("/d"), EROFS);
    EXPECT_EQ(m.remove_file("/a"), EROFS);
    EXPECT_EQ(m.rename_path("/a", "/b"), EROFS);
    EXPECT_EQ(m.link_path("/a", "/b"), EROFS);
    EXPECT_EQ(m.symlink_path("a", "/b"), EROFS);
    EXPECT_EQ(m.chmod_path("/a", 0600), EROFS);
    EXPECT_EQ(m.truncate_path("/a", 0), EROFS);
    EXPECT_EQ(m.access_path("/a", W_OK), EROFS);
    EXPECT_EQ(errno_of(m.run(m.fs().mknod(m.caller, fs::kRootId, "p", S_IFIFO | 0600, 0))), EROFS);
    for (const auto& call : server.calls()) {
        const bool looks =
            call.procedure == Procedure::lookup || call.procedure == Procedure::readdirplus;
        EXPECT_TRUE(looks) << call.describe();
    }
}

TEST_F(ReadOnly, a_fifo_may_be_written_to) {
    options.writable = fs::Writable::yes;
    auto& writable = mount();
    writable.run(writable.fs().mknod(writable.caller, fs::kRootId, "p", S_IFIFO | 0600, 0));
    options.writable = fs::Writable::no;
    EXPECT_EQ(second().access_path("/p", W_OK), 0);
    EXPECT_EQ(second().access_path("/a", W_OK), EROFS);
}

TEST_F(ReadOnly, reading_works) {
    EXPECT_EQ(mount().content_of("/a"), "x");
    EXPECT_EQ(mount().names("/"), (std::vector<std::string>{"a", "d"}));
}

}  // namespace
}  // namespace uidnfs::test
