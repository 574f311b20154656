// SPDX-License-Identifier: Apache-2.0
// The test server itself, by RFC 1813: the other tests are worth what it is worth.
#include "support/memory_server.hpp"

#include <gtest/gtest.h>

namespace uidnfs::test {
namespace {

const Identity kMe{kUid, kGid, {}};
const Identity kOther{3003, 3003, {}};

std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

class Model : public ::testing::Test {
protected:
    MemoryServer server;
    nfs::FileHandle root = server.root();

    Status write(std::string_view path, std::uint64_t offset, std::string_view text) {
        return server
            .write(kMe, server.handle(path), offset, bytes(text), nfs::Stability::unstable)
            .status;
    }
};

TEST_F(Model, unstable_bytes_are_lost_in_a_crash_and_committed_ones_are_not) {
    server.put_file("/a", "0123456789");
    const auto file = server.handle("/a");
    const auto before = server.write(kMe, file, 0, bytes("AB"), nfs::Stability::unstable);
    write("/a", 5, "CD");
    write("/a", 20, "EF");
    EXPECT_EQ(server.content("/a"), std::string("AB234CD789\0\0\0\0\0\0\0\0\0\0EF", 22));
    server.commit(kMe, file, 5, 2);
    server.crash();
    EXPECT_EQ(server.content("/a"), "01234CD789");
    const auto after = server.commit(kMe, file, 0, 0);
    EXPECT_NE(after.body.verifier, before.body.verifier);
}

TEST_F(Model, stable_write_is_on_disk_and_leaves_the_rest_uncommitted) {
    server.put_file("/a", "");
    const auto file = server.handle("/a");
    write("/a", 0, "unstable");
    server.write(kMe, file, 2, bytes("XX"), nfs::Stability::file_sync);
    EXPECT_EQ(server.content("/a"), "unXXable");
    EXPECT_EQ(server.uncommitted_bytes(), 6u);
    server.crash();
    EXPECT_EQ(server.content("/a"), std::string("\0\0XX", 4));
}

TEST_F(Model, truncate_survives_a_crash) {
    server.put_file("/a", "0123456789");
    write("/a", 8, "XXXX");
    nfs::SetAttr cut;
    cut.size = 4;
    server.setattr(kMe, server.handle("/a"), cut, std::nullopt);
    server.crash();
    EXPECT_EQ(server.content("/a"), "0123");
}

TEST_F(Model, wcc_data_say_what_was_before) {
    server.put_file("/a", "0123");
    const auto before = server.attr("/a");
    const auto reply =
        server.write(kMe, server.handle("/a"), 4, bytes("x"), nfs::Stability::unstable);
    ASSERT_TRUE(reply.body.wcc.before);
    EXPECT_EQ(reply.body.wcc.before->size, 4u);
    EXPECT_EQ(reply.body.wcc.before->mtime, before.mtime);
    EXPECT_EQ(reply.body.wcc.before->ctime, before.ctime);
    EXPECT_EQ(reply.body.wcc.after->size, 5u);
    EXPECT_GT(reply.body.wcc.after->ctime, before.ctime);
}

TEST_F(Model, guarded_setattr_checks_ctime) {
    server.put_file("/a", "x");
    nfs::SetAttr change;
    change.mode = 0600;
    const auto old = server.attr("/a").ctime;
    server.overwrite("/a", 0, "y");
    EXPECT_EQ(server.setattr(kMe, server.handle("/a"), change, old).status, Status::not_sync);
    const auto now = server.attr("/a").ctime;
    EXPECT_EQ(server.setattr(kMe, server.handle("/a"), change, now).status, Status::ok);
}

TEST_F(Model, permission_bits_by_owner_group_and_others) {
    server.put_file("/a", "x", 0640);
    const auto file = server.handle("/a");
    const Identity member{3003, 3003, {kGid}};
    EXPECT_EQ(server.access(kMe, file, nfs::kAccessAll).body.granted,
              nfs::kAccessRead | nfs::kAccessModify | nfs::kAccessExtend);
    EXPECT_EQ(server.access(member, file, nfs::kAccessAll).body.granted, nfs::kAccessRead);
    EXPECT_EQ(server.access(kOther, file, nfs::kAccessAll).body.granted, 0u);
    EXPECT_EQ(server.read(kOther, file, 0, 1).status, Status::acces);
    const Identity root_user{0, 0, {}};
    EXPECT_EQ(server.access(root_user, file, nfs::kAccessAll).body.granted, 0u) << "squashed";
    server.adjust([](Behaviour& behaviour) { behaviour.root = RootAccess::trusted; });
    EXPECT_NE(server.access(root_user, file, nfs::kAccessAll).body.granted, 0u);
}

TEST_F(Model, sticky_directory_protects_names) {
    server.put_directory("/t", 01777);
    server.put_file("/t/a", "x", 0666);
    server.set_owner("/t", 0, 0);
    EXPECT_EQ(server.remove(kOther, server.handle("/t"), "a").status, Status::perm);
    EXPECT_EQ(server.rename(kOther, server.handle("/t"), "a", root, "a").status, Status::perm);
    EXPECT_EQ(server.remove(kMe, server.handle("/t"), "a").status, Status::ok);
}

TEST_F(Model, removed_file_is_stale_and_its_number_may_come_back) {
    server.adjust([](Behaviour& behaviour) { behaviour.file_ids = FileIds::reused; });
    server.put_file("/a", "x");
    const auto old = server.handle("/a");
    server.remove(kMe, root, "a");
    EXPECT_EQ(server.getattr(kMe, old).status, Status::stale);
    server.put_file("/b", "y");
    EXPECT_EQ(server.getattr(kMe, old).status, Status::stale);
    EXPECT_FALSE(server.handle("/b") == old);
}

TEST_F(Model, rename_over_targets) {
    server.put_directory("/d");
    server.put_directory("/d/sub");
    server.put_directory("/e");
    server.put_file("/a", "x");
    const auto rename = [&](std::string_view from, std::string_view to) {
        return server.rename(kMe, root, from, root, to).status;
    };
    EXPECT_EQ(rename("e", "d"), Status::notempty);
    EXPECT_EQ(rename("a", "e"), Status::isdir);
    EXPECT_EQ(rename("e", "a"), Status::notdir);
    EXPECT_EQ(server.rename(kMe, root, "d", server.handle("/d/sub"), "x").status, Status::inval);
    EXPECT_EQ(rename("d", "e"), Status::ok);
    EXPECT_EQ(server.attr("/").nlink, 3u);
    EXPECT_EQ(server.attr("/e").nlink, 3u);
    EXPECT_TRUE(server.exists("/e/sub"));
}

TEST_F(Model, exclusive_create_is_repeatable_with_its_verifier_only) {
    const nfs::Verifier verifier{std::byte{1}};
    const nfs::Verifier other{std::byte{2}};
    const auto create = [&](const nfs::Verifier& with) {
        return server.create(kMe, root, "a", nfs::CreateHow::exclusive, {}, with).status;
    };
    EXPECT_EQ(create(verifier), Status::ok);
    EXPECT_EQ(create(verifier), Status::ok);
    EXPECT_EQ(create(other), Status::exist);
    nfs::SetAttr change;
    change.mode = 0600;
    server.setattr(kMe, server.handle("/a"), change, std::nullopt);
    EXPECT_EQ(create(verifier), Status::exist);
}

TEST_F(Model, listing_pages_respect_the_byte_limit) {
    for (int i = 0; i < 100; ++i) server.put_file("/file" + std::to_string(i), "x");
    nfs::DirCursor cursor;
    std::size_t names = 0;
    std::size_t pages = 0;
    for (;;) {
        const auto page = server.readdirplus(kMe, root, cursor, 4096, 4096);
        ASSERT_EQ(page.status, Status::ok);
        EXPECT_LE(page.body.entries.size(), 4096u / 140);
        names += page.body.entries.size();
        ++pages;
        if (page.body.more == nfs::DirPage::More::end) break;
        cursor = {page.body.entries.back().cookie, page.body.verifier};
    }
    EXPECT_EQ(names, 102u);
    EXPECT_GE(pages, 4u);
    EXPECT_EQ(server.readdir(kMe, root, {}, 100).status, Status::toosmall);
    EXPECT_EQ(server.readdir(kMe, root, {5, {}}, 4096).status, Status::bad_cookie);
}

TEST_F(Model, changing_verifier_makes_old_cookies_bad) {
    server.adjust([](Behaviour& behaviour) {
        behaviour.cookie_verifiers = CookieVerifiers::changing;
    });
    server.put_file("/a", "x");
    const auto page = server.readdir(kMe, root, {}, 4096);
    const nfs::DirCursor cursor{page.body.entries[0].cookie, page.body.verifier};
    EXPECT_EQ(server.readdir(kMe, root, cursor, 4096).status, Status::ok);
    server.put_file("/b", "x");
    EXPECT_EQ(server.readdir(kMe, root, cursor, 4096).status, Status::bad_cookie);
}

TEST_F(Model, largest_file_costs_no_memory) {
    server.put_file("/a", "");
    EXPECT_EQ(write("/a", 0x7fff'ffff'ffff'fffe, "x"), Status::ok);
    EXPECT_EQ(server.attr("/a").size, 0x7fff'ffff'ffff'ffffu);
    EXPECT_LE(server.attr("/a").used, 8192u);
    EXPECT_EQ(write("/a", 0x7fff'ffff'ffff'ffff, "x"), Status::fbig);
}

TEST_F(Model, times_are_multiples_of_the_tick) {
    server.adjust([](Behaviour& behaviour) { behaviour.tick = std::chrono::milliseconds(10); });
    server.put_file("/a", "x");
    EXPECT_EQ(server.attr("/a").mtime.nanoseconds % 10'000'000, 0u);
    EXPECT_EQ(server.fsinfo(kMe, root).body.time_delta.nanoseconds, 10'000'000u);
}

TEST_F(Model, faults_hit_the_calls_they_name) {
    Call call;
    call.procedure = Procedure::write;
    server.inject({.procedure = Procedure::write, .skip = 1, .times = 2, .fail = Status::io});
    EXPECT_FALSE(server.admit(call).fail);
    EXPECT_TRUE(server.admit(call).fail);
    call.procedure = Procedure::read;
    EXPECT_FALSE(server.admit(call).fail);
    call.procedure = Procedure::write;
    EXPECT_TRUE(server.admit(call).fail);
    EXPECT_FALSE(server.admit(call).fail);
    EXPECT_EQ(server.count(Procedure::write), 4u);
}

TEST(SparseBytes, reads_what_was_written_and_zeros_elsewhere) {
    SparseBytes content;
    content.write(10'000, bytes("abc"));
    EXPECT_EQ(content.size(), 10'003u);
    EXPECT_EQ(content.read(9'999, 2), (std::vector<std::byte>{std::byte{0}, std::byte{'a'}}));
    content.resize(10'001);
    content.resize(20'000);
    EXPECT_EQ(content.read(10'000, 2), (std::vector<std::byte>{std::byte{'a'}, std::byte{0}}));
    const auto copy = content;
    content.write(10'000, bytes("z"));
    EXPECT_EQ(copy.read(10'000, 1)[0], std::byte{'a'});
}

TEST(RangeSet, merges_and_splits) {
    RangeSet set;
    set.add(10, 20);
    set.add(30, 40);
    set.add(20, 30);
    EXPECT_EQ(set.bytes(), 30u);
    EXPECT_EQ(set.within(0, 100).size(), 1u);
    set.remove(15, 35);
    ASSERT_EQ(set.within(0, 100).size(), 2u);
    EXPECT_EQ(set.within(0, 100)[1].begin, 35u);
    EXPECT_EQ(set.within(12, 14)[0].end, 14u);
    set.remove(0, 100);
    EXPECT_TRUE(set.empty());
}

}  // namespace
}  // namespace uidnfs::test
