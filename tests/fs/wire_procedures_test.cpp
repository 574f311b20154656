// SPDX-License-Identifier: Apache-2.0
// Every procedure of NFS version 3 from the client's arguments over TCP to the server's tree and
// back.
#include "fs/wire_fixture.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <set>

namespace uidnfs::test {
namespace {

using namespace nfs;

class WireProcedures : public WireFsTest {
protected:
    static SetAttr with_mode(std::uint32_t mode) {
        SetAttr out;
        out.mode = mode;
        return out;
    }
    /// What CREATE and its kin tell is what the tree has.
    void expect_made(const CreateReply& made, std::string_view path) {
        ASSERT_TRUE(made.handle && made.attr);
        EXPECT_EQ(*made.handle, server.handle(path));
        EXPECT_EQ(*made.attr, server.attr(path));
        ASSERT_TRUE(made.dir.before && made.dir.after);
        EXPECT_EQ(*made.dir.after, server.attr("/"));
    }
    /// All pages of a listing; `page` gets the next one.
    template <class Page>
    std::vector<DirEntry> all_pages(std::size_t& pages, Page page) {
        std::vector<DirEntry> out;
        DirCursor from;
        for (pages = 1;; ++pages) {
            auto got = page(from);
            from = {got.entries.empty() ? from.cookie : got.entries.back().cookie, got.verifier};
            for (auto& entry : got.entries) {
                if (entry.name != "." && entry.name != "..") out.push_back(std::move(entry));
            }
            if (got.more == DirPage::More::end) return out;
            if (pages > 1000) throw std::runtime_error("a listing without end");
        }
    }
    static std::vector<std::string> sorted_names(const std::vector<DirEntry>& entries) {
        std::vector<std::string> out;
        for (const auto& entry : entries) out.push_back(entry.name);
        std::sort(out.begin(), out.end());
        return out;
    }

    static constexpr Verifier kNoVerifier{};
};

TEST_F(WireProcedures, mount_tells_the_root) {
    EXPECT_EQ(client().root(), server.root());
    EXPECT_EQ(root_attr, server.attr("/"));
    EXPECT_EQ(root_access, kAccessAll & ~kAccessExecute);
    EXPECT_EQ(client().fs_info().read_max, 1u << 20);
    EXPECT_EQ(peer.mount_calls(), std::vector<std::string>{"MNT /export"});
    EXPECT_EQ(wire(Procedure::null).size(), 1u);
    unmount();
    EXPECT_EQ(peer.mount_calls().back(), "UMNT /export");
}

TEST_F(WireProcedures, mount_of_what_is_not_exported_says_so) {
    const auto mounted =
        world.run(mount_export(world.reactor, {"127.0.0.1", "/other"}, parameters, credential));
    ASSERT_FALSE(mounted);
    EXPECT_EQ(mounted.error().code, ENOENT);
    EXPECT_NE(mounted.error().user_text.find("/other"), std::string::npos);
}

TEST_F(WireProcedures, getattr) {
    server.put_file("/a", "four");
    EXPECT_EQ(good(client().getattr(context, server.handle("/a"))), server.attr("/a"));
    const auto gone = server.handle("/a");
    server.remove_path("/a");
    EXPECT_EQ(code(client().getattr(context, gone)), ESTALE);
}

TEST_F(WireProcedures, setattr) {
    server.put_file("/a", "0123456789");
    SetAttr change;
    change.mode = 0640;
    change.size = 4;
    change.mtime = {TimeChange::How::client_time, {1234567890, 987654321}};
    change.atime = {TimeChange::How::server_time, {}};
    const auto before = server.attr("/a");
    const auto wcc = good(client().setattr(context, {server.handle("/a")}, change, std::nullopt));
    const auto after = server.attr("/a");
    EXPECT_EQ(after.mode, 0640u);
    EXPECT_EQ(after.mtime, (Time{1234567890, 987654321}));
    EXPECT_EQ(server.content("/a"), "0123");
    ASSERT_TRUE(wcc.before && wcc.after);
    EXPECT_EQ(*wcc.before, (WccAttr{before.size, before.mtime, before.ctime}));
    EXPECT_EQ(*wcc.after, after);
}

TEST_F(WireProcedures, setattr_with_guard) {
    server.put_file("/a", "x");
    const auto guard = server.attr("/a").ctime;
    const OpenRef file{server.handle("/a")};
    EXPECT_EQ(code(client().setattr(context, file, with_mode(0600), guard)), 0);
    EXPECT_EQ(code(client().setattr(context, file, with_mode(0644), guard)), EBUSY);
    EXPECT_EQ(server.attr("/a").mode, 0600u);
}

TEST_F(WireProcedures, lookup) {
    const std::string longest(255, 'n');
    const std::string bytes = "\xff\xfe \x01";
    for (const auto& name : {std::string("a"), std::string("abcd"), longest, bytes}) {
        server.put_file("/" + name, name);
        const auto found = good(client().lookup(context, client().root(), name));
        EXPECT_EQ(found.handle, server.handle("/" + name));
        EXPECT_EQ(found.attr, server.attr("/" + name));
        EXPECT_EQ(found.dir_attr, server.attr("/"));
    }
    EXPECT_EQ(code(client().lookup(context, client().root(), "none")), ENOENT);
}

TEST_F(WireProcedures, access_and_open) {
    server.put_file("/a", "x", 0440);
    const auto granted = good(client().access(context, server.handle("/a"), kAccessAll));
    EXPECT_EQ(granted.granted, kAccessRead);
    EXPECT_EQ(granted.attr, server.attr("/a"));
    const auto opened = good(client().open(context, server.handle("/a"), kAccessRead));
    EXPECT_EQ(opened.granted, kAccessRead);
    EXPECT_EQ(opened.attr, server.attr("/a"));
    EXPECT_EQ(opened.open.handle, server.handle("/a"));
    EXPECT_EQ(code(client().close(context, opened.open)), 0);
}

TEST_F(WireProcedures, supplementary_groups_open_doors) {
    server.put_file("/a", "for the group");
    server.set_owner("/a", 5555, 4242);
    server.set_mode("/a", 0040);
    EXPECT_EQ(read("/a", 0, 100), "for the group");
    server.set_owner("/a", 5555, 4243);
    EXPECT_EQ(code(client().read(context, {server.handle("/a")}, 0, 1)), EACCES);
}

TEST_F(WireProcedures, symlink_and_readlink) {
    const std::string target = "../" + std::string(1020, 't');
    expect_made(
        good(client().symlink(context, client().root(), "s", target, with_mode(0777))), "/s"
    );
    EXPECT_EQ(server.attr("/s").type, FileType::symlink);
    const auto link = good(client().readlink(context, server.handle("/s")));
    EXPECT_EQ(link.target, target);
    EXPECT_EQ(link.attr, server.attr("/s"));
}

TEST_F(WireProcedures, read_of_all_sizes) {
    const auto data = pattern(3 << 20);
    server.put_file("/a", data);
    for (const std::uint32_t count : {1u, 3u, 4096u, 16383u, 16385u, 65537u, 300'001u, 1u << 20}) {
        for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{777'777}}) {
            EXPECT_TRUE(read("/a", offset, count) == data.substr(offset, count)) << count;
        }
    }
    const auto last = good(client().read(context, {server.handle("/a")}, data.size() - 5, 4096));
    EXPECT_EQ(text_of(last.data), data.substr(data.size() - 5));
    EXPECT_EQ(last.end, ReadReply::End::yes);
    EXPECT_TRUE(last.attr);
    EXPECT_EQ(read("/a", data.size() + 10, 10), "");
}

TEST_F(WireProcedures, many_reads_at_once) {
    const auto data = pattern(8 << 20);
    server.put_file("/a", data);
    const OpenRef file{server.handle("/a")};
    constexpr std::uint32_t kCount = 131072;
    std::vector<core::Task<core::Result<ReadReply>>> tasks;
    for (std::uint64_t at = 0; at < data.size(); at += kCount) {
        tasks.push_back(client().read(context, file, at, kCount));
    }
    std::string got;
    for (const auto& reply : world.run_all(std::move(tasks))) got += text_of(reply.value().data);
    EXPECT_TRUE(got == data);
}

TEST_F(WireProcedures, write_of_all_sizes_and_commit) {
    server.put_file("/a", "");
    std::string expected;
    std::uint32_t seed = 1;
    for (const std::size_t bytes : {1u, 3u, 4097u, 16385u, 300'001u, 1u << 20}) {
        const auto data = pattern(bytes, seed++);
        const auto reply = write("/a", expected.size(), data);
        EXPECT_EQ(reply.count, bytes);
        EXPECT_EQ(reply.committed, Stability::unstable);
        EXPECT_EQ(reply.wcc.after, server.attr("/a"));
        expected += data;
        EXPECT_TRUE(server.content("/a") == expected) << bytes;
    }
    EXPECT_GT(server.uncommitted_bytes(), 0u);
    const auto stable = write("/a", 0, "first", Stability::file_sync);
    EXPECT_EQ(stable.committed, Stability::file_sync);
    const auto committed = good(client().commit(context, {server.handle("/a")}, 0, 0));
    EXPECT_EQ(committed.verifier, stable.verifier);
    EXPECT_EQ(committed.wcc.after, server.attr("/a"));
    EXPECT_EQ(server.uncommitted_bytes(), 0u);
}

TEST_F(WireProcedures, write_from_many_pieces) {
    server.put_file("/a", "");
    std::vector<core::Slice> pieces;
    std::string expected;
    for (std::size_t i = 0; i < 150; ++i) {  // more than one sendmsg(2) takes
        const auto piece = pattern(1 + i * 37 % 5000, static_cast<std::uint32_t>(i));
        pieces.push_back(HeapBytes::slice(piece));
        expected += piece;
    }
    const OpenRef file{server.handle("/a")};
    const auto reply = good(client().write(context, file, 11, pieces, Stability::data_sync));
    EXPECT_EQ(reply.count, expected.size());
    EXPECT_TRUE(server.content("/a") == std::string(11, '\0') + expected);
}

TEST_F(WireProcedures, short_replies_are_told) {
    server.put_file("/a", pattern(100'000));
    server.adjust([](Behaviour& behaviour) {
        behaviour.longest_read = 5001;
        behaviour.longest_write = 3001;
    });
    const auto part = good(client().read(context, {server.handle("/a")}, 0, 65536));
    EXPECT_EQ(part.data.size(), 5001u);
    EXPECT_EQ(part.end, ReadReply::End::no);
    EXPECT_EQ(write("/a", 0, pattern(65536, 2)).count, 3001u);
}

TEST_F(WireProcedures, create_in_its_three_ways) {
    const auto& root = client().root();
    const auto mode = with_mode(0640);
    expect_made(
        good(client().create(context, root, "u", CreateHow::unchecked, mode, kNoVerifier)), "/u"
    );
    EXPECT_EQ(server.attr("/u").mode, 0640u);
    EXPECT_EQ(server.attr("/u").uid, mapper::ServerUid(kUid));
    expect_made(
        good(client().create(context, root, "g", CreateHow::guarded, mode, kNoVerifier)), "/g"
    );
    EXPECT_EQ(
        code(client().create(context, root, "g", CreateHow::guarded, mode, kNoVerifier)), EEXIST
    );
    const Verifier one{std::byte{1}, std::byte{2}};
    const Verifier other{std::byte{3}};
    expect_made(good(client().create(context, root, "x", CreateHow::exclusive, {}, one)), "/x");
    EXPECT_EQ(code(client().create(context, root, "x", CreateHow::exclusive, {}, one)), 0);
    EXPECT_EQ(code(client().create(context, root, "x", CreateHow::exclusive, {}, other)), EEXIST);
}

TEST_F(WireProcedures, create_without_handle_and_attributes) {
    client();
    server.adjust([](Behaviour& behaviour) {
        behaviour.created_handles = Presence::never;
        behaviour.post_op_attrs = Presence::never;
        behaviour.pre_op_attrs = Presence::never;
    });
    const auto made = good(client().mkdir(context, client().root(), "d", with_mode(0700)));
    EXPECT_FALSE(made.handle || made.attr || made.dir.before || made.dir.after);
    EXPECT_TRUE(server.exists("/d"));
}

TEST_F(WireProcedures, mkdir_and_rmdir) {
    expect_made(good(client().mkdir(context, client().root(), "d", with_mode(0710))), "/d");
    EXPECT_EQ(server.attr("/d").type, FileType::directory);
    EXPECT_EQ(server.attr("/d").mode, 0710u);
    server.put_file("/d/a", "");
    EXPECT_EQ(code(client().rmdir(context, client().root(), "d")), ENOTEMPTY);
    server.remove_path("/d/a");
    const auto wcc = good(client().rmdir(context, client().root(), "d"));
    EXPECT_FALSE(server.exists("/d"));
    EXPECT_EQ(wcc.after, server.attr("/"));
}

TEST_F(WireProcedures, mknod) {
    const auto& root = client().root();
    const auto mode = with_mode(0600);
    expect_made(good(client().mknod(context, root, "f", FileType::fifo, 0, 0, mode)), "/f");
    EXPECT_EQ(server.attr("/f").type, FileType::fifo);
    expect_made(good(client().mknod(context, root, "s", FileType::socket, 0, 0, mode)), "/s");
    const auto device = FileType::character_device;
    const auto made = run(client().mknod(context, root, "c", device, 5, 1, mode));
    if (made) {
        expect_made(*made, "/c");
        EXPECT_EQ(server.attr("/c").rdev_major, 5u);
        EXPECT_EQ(server.attr("/c").rdev_minor, 1u);
    } else {
        EXPECT_EQ(made.error().code(), EPERM);  // device nodes are root's
    }
}

TEST_F(WireProcedures, remove_rename_link) {
    const auto& root = client().root();
    server.put_file("/a", "content");
    server.put_directory("/d");
    const auto directory = server.handle("/d");

    const auto linked = good(client().link(context, server.handle("/a"), directory, "l"));
    EXPECT_EQ(server.attr("/d/l"), server.attr("/a"));
    EXPECT_EQ(linked.attr, server.attr("/a"));
    EXPECT_EQ(linked.dir.after, server.attr("/d"));
    EXPECT_EQ(server.attr("/a").nlink, 2u);

    const auto renamed = good(client().rename(context, root, "a", directory, "b", std::nullopt));
    EXPECT_FALSE(server.exists("/a"));
    EXPECT_EQ(server.content("/d/b"), "content");
    EXPECT_EQ(renamed.from_dir.after, server.attr("/"));
    EXPECT_EQ(renamed.to_dir.after, server.attr("/d"));

    const auto removed = good(client().remove(context, directory, "b"));
    EXPECT_EQ(server.names("/d"), std::vector<std::string>{"l"});
    EXPECT_EQ(removed.after, server.attr("/d"));
    EXPECT_EQ(code(client().remove(context, directory, "b")), ENOENT);
    EXPECT_EQ(code(client().rename(context, root, "a", directory, "b", std::nullopt)), ENOENT);
}

TEST_F(WireProcedures, readdir_over_many_pages) {
    server.put_directory("/d");
    for (int i = 0; i < 700; ++i) server.put_file("/d/name-" + std::to_string(i), "");
    server.adjust([](Behaviour& behaviour) { behaviour.cookies = CookieStyle::high_bit; });
    const auto directory = server.handle("/d");
    std::size_t pages = 0;
    const auto entries = all_pages(pages, [&](const DirCursor& from) {
        auto page = good(client().readdir(context, directory, from, 4096));
        EXPECT_EQ(page.dir_attr, server.attr("/d"));
        return page;
    });
    EXPECT_EQ(sorted_names(entries), server.names("/d"));
    EXPECT_GT(pages, 5u);
    for (const auto& entry : entries) {
        EXPECT_EQ(entry.fileid, server.attr("/d/" + entry.name).fileid);
    }
}

TEST_F(WireProcedures, readdirplus_over_many_pages) {
    server.put_directory("/d");
    for (std::size_t i = 0; i < 700; ++i) {
        server.put_file("/d/name-" + std::to_string(i), std::string(i, 'x'));
    }
    const auto directory = server.handle("/d");
    for (const auto presence : {Presence::always, Presence::alternating, Presence::never}) {
        server.adjust([&](Behaviour& behaviour) {
            behaviour.entry_handles = presence;
            behaviour.entry_attrs = presence;
        });
        for (const std::uint32_t bytes : {4096u, 65536u}) {
            std::size_t pages = 0;
            const auto entries = all_pages(pages, [&](const DirCursor& from) {
                return good(client().readdirplus(context, directory, from, bytes));
            });
            EXPECT_EQ(sorted_names(entries), server.names("/d"));
            EXPECT_GE(pages, bytes == 4096 ? 5u : 1u);
            std::size_t told = 0;
            for (const auto& entry : entries) {
                const auto path = "/d/" + entry.name;
                told += entry.handle && entry.attr ? 1 : 0;
                EXPECT_EQ(entry.handle.value_or(server.handle(path)), server.handle(path));
                EXPECT_EQ(entry.attr.value_or(server.attr(path)), server.attr(path));
            }
            if (presence != Presence::alternating) {
                EXPECT_EQ(told, presence == Presence::always ? 700u : 0u);
            }
        }
    }
}

TEST_F(WireProcedures, old_cookies_and_missing_readdirplus_are_told) {
    server.put_directory("/d");
    for (int i = 0; i < 200; ++i) server.put_file("/d/name-" + std::to_string(i), "");
    server.adjust([](Behaviour& behaviour) {
        behaviour.cookie_verifiers = CookieVerifiers::changing;
    });
    const auto directory = server.handle("/d");
    const auto page = good(client().readdir(context, directory, {}, 4096));
    server.put_file("/d/new", "");
    const DirCursor next{page.entries.back().cookie, page.verifier};
    const auto refused = run(client().readdir(context, directory, next, 4096));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), core::Error(EINVAL, core::ErrorSource::nfs, 10003));
    server.adjust([](Behaviour& behaviour) { behaviour.readdirplus = Support::no; });
    EXPECT_EQ(code(client().readdirplus(context, directory, {}, 4096)), ENOTSUP);
}

TEST_F(WireProcedures, whole_filesystem) {
    server.put_file("/a", pattern(10'000));
    const auto& root = client().root();
    const auto stat = good(client().fsstat(context, root));
    const auto expected = server.fsstat(identity, root).body;
    EXPECT_EQ(stat.stat.total_bytes, expected.stat.total_bytes);
    EXPECT_EQ(stat.stat.free_bytes, expected.stat.free_bytes);
    EXPECT_EQ(stat.stat.available_bytes, expected.stat.available_bytes);
    EXPECT_EQ(stat.stat.total_files, expected.stat.total_files);
    EXPECT_EQ(stat.stat.free_files, expected.stat.free_files);
    EXPECT_EQ(stat.stat.available_files, expected.stat.available_files);
    EXPECT_EQ(stat.attr, server.attr("/"));
    const auto info = good(client().fsinfo(context, root));
    EXPECT_EQ(info.max_file_size, 0x7fff'ffff'ffff'ffffu);
    EXPECT_EQ(info.directory_preferred, 32768u);
    EXPECT_EQ(info.write_max, 1u << 20);
    EXPECT_TRUE(info.has_links && info.has_symlinks && info.can_set_time);
    const auto conf = good(client().pathconf(context, root));
    EXPECT_EQ(conf.link_max, 32000u);
    EXPECT_EQ(conf.name_max, 255u);
    EXPECT_TRUE(conf.no_truncation && conf.chown_restricted && conf.case_preserving);
    EXPECT_FALSE(conf.case_insensitive);
}

TEST_F(WireProcedures, all_numbers_of_rfc_1813_appear) {
    const auto& root = client().root();
    server.put_file("/a", "x");
    const OpenRef a{server.handle("/a")};
    const std::vector<core::Slice> data{HeapBytes::slice("y")};
    good(client().setattr(context, a, with_mode(0644), std::nullopt));
    good(client().lookup(context, root, "a"));
    good(client().symlink(context, root, "s", "t", {}));
    good(client().readlink(context, server.handle("/s")));
    good(client().read(context, a, 0, 1));
    good(client().write(context, a, 0, data, Stability::unstable));
    good(client().commit(context, a, 0, 0));
    good(client().create(context, root, "c", CreateHow::unchecked, {}, kNoVerifier));
    good(client().mkdir(context, root, "d", {}));
    good(client().mknod(context, root, "f", FileType::fifo, 0, 0, {}));
    good(client().link(context, a.handle, root, "l"));
    good(client().rename(context, root, "l", root, "m", std::nullopt));
    good(client().remove(context, root, "m"));
    good(client().rmdir(context, root, "d"));
    good(client().readdir(context, root, {}, 4096));
    good(client().readdirplus(context, root, {}, 4096));
    good(client().fsstat(context, root));
    good(client().pathconf(context, root));
    std::set<std::uint32_t> seen;
    for (const auto& call : peer.calls()) {
        if (call.program == kNfsProgram) seen.insert(call.procedure);
    }
    EXPECT_EQ(seen.size(), kProcedures);
    EXPECT_EQ(server.names("/"), (std::vector<std::string>{"a", "c", "f", "s"}));
    EXPECT_EQ(server.content("/a"), "y");
}

TEST_F(WireProcedures, several_connections_carry_the_calls) {
    parameters.nconnect = 4;
    const auto data = pattern(4 << 20);
    server.put_file("/a", data);
    const OpenRef file{server.handle("/a")};
    std::vector<core::Task<core::Result<ReadReply>>> tasks;
    for (std::uint64_t at = 0; at < data.size(); at += 65536) {
        tasks.push_back(client().read(context, file, at, 65536));
    }
    std::string got;
    for (const auto& reply : world.run_all(std::move(tasks))) got += text_of(reply.value().data);
    EXPECT_TRUE(got == data);
    std::set<std::uint64_t> used;
    for (const auto& call : wire(Procedure::read)) used.insert(call.connection);
    EXPECT_EQ(used.size(), 4u);
}

}  // namespace
}  // namespace uidnfs::test
