// SPDX-License-Identifier: Apache-2.0
// Calls that a server executes twice, or refuses although it should not: answers that are lost,
// failures that pass, names that are said to be stale or nowhere and are not. The application must
// not notice.
#include "fs/wire_faults.hpp"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace uidnfs::test {
namespace {

using namespace nfs;
using Kind = WireFault::Kind;

TEST_F(WireFaults, a_server_that_fails_once_is_asked_again) {
    client();
    const auto bytes = pattern(5);
    const std::vector<core::Slice> slices{HeapBytes::slice(bytes)};
    const OpenRef file{server.handle("/a")};
    for (const std::uint32_t status : {4u, 5u}) {
        SCOPED_TRACE(status);
        peer.inject(
            {.kind = Kind::accept_status,
             .procedure = Procedure::write,
             .bytes = status,
             .times = 2}
        );
        const auto before = wire(Procedure::write).size();
        EXPECT_EQ(code(client().write(context, file, 0, slices, Stability::file_sync)), 0);
        EXPECT_EQ(wire(Procedure::write).size(), before + 3);
        peer.inject({.kind = Kind::accept_status, .procedure = Procedure::remove, .bytes = status});
        EXPECT_EQ(code(client().remove(context, client().root(), "gone")), 0)
            << "the first one may have removed it";
    }
}

/// Names that were changed although nobody heard of it, with and without the server's duplicate
/// cache.
class LostReplies : public WireFaults, public ::testing::WithParamInterface<DuplicateCache> {
protected:
    void SetUp() override {
        WireFaults::SetUp();
        client();
        peer.set_duplicates(GetParam());
    }
    void lose(Procedure procedure) {
        peer.inject({.kind = Kind::drop_reply, .procedure = procedure, .ending = Ending::reset});
    }
};

INSTANTIATE_TEST_SUITE_P(
    ,
    LostReplies,
    ::testing::Values(DuplicateCache::on, DuplicateCache::off),
    [](const auto& chosen) {
        return chosen.param == DuplicateCache::on ? "with_cache" : "without_cache";
    }
);

TEST_P(LostReplies, remove_and_rmdir) {
    server.put_directory("/d");
    lose(Procedure::remove);
    EXPECT_EQ(code(client().remove(context, client().root(), "a")), 0);
    expect_replayed(Procedure::remove);
    lose(Procedure::rmdir);
    EXPECT_EQ(code(client().rmdir(context, client().root(), "d")), 0);
    expect_replayed(Procedure::rmdir);
    EXPECT_TRUE(server.names("/").empty());
    EXPECT_EQ(peer.replayed(), GetParam() == DuplicateCache::on ? 2u : 0u);
}

TEST_P(LostReplies, mkdir_symlink_mknod) {
    const auto& root = client().root();
    lose(Procedure::mkdir);
    const auto directory = good(client().mkdir(context, root, "d", {}));
    EXPECT_EQ(directory.handle, server.handle("/d"));
    expect_replayed(Procedure::mkdir);
    lose(Procedure::symlink);
    const auto link = good(client().symlink(context, root, "s", "target", {}));
    EXPECT_EQ(link.handle, server.handle("/s"));
    expect_replayed(Procedure::symlink);
    lose(Procedure::mknod);
    const auto fifo = good(client().mknod(context, root, "f", FileType::fifo, 0, 0, {}));
    EXPECT_EQ(fifo.handle, server.handle("/f"));
    expect_replayed(Procedure::mknod);
}

TEST_P(LostReplies, create) {
    const auto& root = client().root();
    const Verifier verifier{std::byte{42}};
    std::size_t done = 0;
    for (const auto how : {CreateHow::unchecked, CreateHow::guarded, CreateHow::exclusive}) {
        lose(Procedure::create);
        const auto name = "c" + std::to_string(done);
        const auto made = good(client().create(context, root, name, how, {}, verifier));
        EXPECT_EQ(made.handle, server.handle("/" + name));
        const auto calls = wire(Procedure::create);
        ASSERT_EQ(calls.size(), 2 * ++done);
        EXPECT_EQ(calls[2 * done - 2].xid, calls[2 * done - 1].xid);
        EXPECT_EQ(calls[2 * done - 2].port, calls[2 * done - 1].port);
    }
}

TEST_P(LostReplies, rename_and_link) {
    const auto& root = client().root();
    const auto fileid = server.attr("/a").fileid;
    lose(Procedure::rename);
    EXPECT_EQ(code(client().rename(context, root, "a", root, "b", fileid)), 0);
    expect_replayed(Procedure::rename);
    EXPECT_TRUE(server.content("/b") == data_);
    lose(Procedure::link);
    EXPECT_EQ(code(client().link(context, server.handle("/b"), root, "l")), 0);
    expect_replayed(Procedure::link);
    EXPECT_EQ(server.names("/"), (std::vector<std::string>{"b", "l"}));
}

TEST_P(LostReplies, refusals_that_are_true_stay_refusals) {
    const auto& root = client().root();
    const auto lose_call = [&](Procedure procedure) {
        peer.inject({.kind = Kind::drop_call, .procedure = procedure});
    };
    lose_call(Procedure::mkdir);
    EXPECT_EQ(code(client().mkdir(context, root, "a", {})), EEXIST);
    lose_call(Procedure::rename);
    EXPECT_EQ(code(client().rename(context, root, "none", root, "new", 1)), ENOENT);
    server.put_file("/other", "not a link to a");
    lose_call(Procedure::rename);
    EXPECT_EQ(code(client().rename(context, root, "none", root, "other", 1)), ENOENT)
        << "somebody else's file under the new name is no success";
    server.put_symlink("/link", "elsewhere");
    lose_call(Procedure::symlink);
    EXPECT_EQ(code(client().symlink(context, root, "link", "otherwise", {})), EEXIST);
    server.put_directory("/locked", 0700);
    SetAttr open_to_all;
    open_to_all.mode = 0777;
    lose_call(Procedure::mkdir);
    EXPECT_EQ(code(client().mkdir(context, root, "locked", open_to_all)), EEXIST);
    lose_call(Procedure::link);
    EXPECT_EQ(code(client().link(context, server.handle("/a"), root, "other")), EEXIST);
    EXPECT_EQ(code(client().remove(context, root, "none")), ENOENT);
    EXPECT_EQ(code(client().mkdir(context, root, "other", {})), EEXIST);
}

/// What NFS-Ganesha makes of a call that it executes twice at the same moment: for a worker that
/// died, and for the next one.
TEST_F(WireFaults, a_create_whose_verifier_is_not_there_yet_is_asked_again) {
    client();
    peer.set_duplicates(DuplicateCache::off);
    const auto& root = client().root();
    const Verifier verifier{std::byte{42}};
    peer.inject({.kind = Kind::drop_reply, .procedure = Procedure::create, .ending = Ending::reset}
    );
    server.inject({.procedure = Procedure::create, .skip = 1, .times = 3, .fail = Status::exist});
    SetAttr locked;
    locked.mode = 0600;
    const auto made =
        good(client().create(context, root, "new", CreateHow::exclusive, locked, verifier));
    EXPECT_EQ(made.handle, server.handle("/new"));
    EXPECT_EQ(wire(Procedure::create).size(), 5u);

    server.put_file("/theirs", "", 0600);
    peer.inject({.kind = Kind::drop_call, .procedure = Procedure::create});
    EXPECT_EQ(
        code(client().create(context, root, "theirs", CreateHow::exclusive, locked, verifier)),
        EEXIST
    );
    const auto before = wire(Procedure::create).size();
    EXPECT_EQ(
        code(client().create(context, root, "theirs", CreateHow::exclusive, locked, verifier)),
        EEXIST
    );
    EXPECT_EQ(wire(Procedure::create).size(), before + 1)
        << "what was sent once is believed at once";
}

TEST_F(WireFaults, a_rename_that_is_being_executed_is_looked_for_again) {
    client();
    peer.set_duplicates(DuplicateCache::off);
    const auto& root = client().root();
    const auto fileid = server.attr("/a").fileid;
    peer.inject({.kind = Kind::drop_reply, .procedure = Procedure::rename, .ending = Ending::reset}
    );
    server.inject({.procedure = Procedure::lookup, .times = 3, .fail = Status::noent});
    EXPECT_EQ(code(client().rename(context, root, "a", root, "b", fileid)), 0);
    EXPECT_EQ(wire(Procedure::rename).size(), 2u);
    EXPECT_EQ(wire(Procedure::lookup).size(), 4u);
}

TEST_F(WireFaults, names_that_are_not_stale_are_asked_for_again) {
    client();
    const auto& root = client().root();
    const auto fileid = server.attr("/a").fileid;
    server.put_directory("/d");
    const std::vector<std::pair<Procedure, std::function<int()>>> calls{
        {Procedure::lookup, [&] { return code(client().lookup(context, root, "a")); }},
        {Procedure::readdir, [&] { return code(client().readdir(context, root, {}, 8192)); }},
        {Procedure::readdirplus,
         [&] { return code(client().readdirplus(context, root, {}, 8192)); }},
        {Procedure::create,
         [&] {
             return code(client().create(context, root, "c", CreateHow::unchecked, {}, no_verifier_)
             );
         }},
        {Procedure::mkdir, [&] { return code(client().mkdir(context, root, "m", {})); }},
        {Procedure::symlink, [&] { return code(client().symlink(context, root, "s", "a", {})); }},
        {Procedure::link,
         [&] { return code(client().link(context, server.handle("/a"), root, "l")); }},
        {Procedure::rename,
         [&] { return code(client().rename(context, root, "l", root, "r", fileid)); }},
        {Procedure::remove, [&] { return code(client().remove(context, root, "r")); }},
        {Procedure::rmdir, [&] { return code(client().rmdir(context, root, "d")); }},
    };
    for (const auto& [procedure, work] : calls) {
        SCOPED_TRACE(to_string(procedure));
        server.inject({.procedure = procedure, .times = 2, .fail = Status::stale});
        EXPECT_EQ(work(), 0);
        EXPECT_EQ(wire(procedure).size(), 3u);
    }
    EXPECT_EQ(server.names("/"), (std::vector<std::string>{"a", "c", "m", "s"}));
}

TEST_F(WireFaults, a_listing_that_is_said_to_be_nowhere_is_asked_for_again) {
    client();
    const auto list = [&](Procedure procedure) {
        const auto& root = client().root();
        return procedure == Procedure::readdir
                   ? code(client().readdir(context, root, {}, 8192))
                   : code(client().readdirplus(context, root, {}, 8192));
    };
    for (const auto procedure : {Procedure::readdir, Procedure::readdirplus}) {
        SCOPED_TRACE(to_string(procedure));
        server.inject({.procedure = procedure, .times = 2, .fail = Status::noent});
        EXPECT_EQ(list(procedure), 0);
        EXPECT_EQ(wire(procedure).size(), 3u);
        server.inject({.procedure = procedure, .times = 4, .fail = Status::noent});
        EXPECT_EQ(list(procedure), EIO) << "ENOENT would be the end of the directory";
        EXPECT_EQ(wire(procedure).size(), 7u);
    }
}

TEST_F(WireFaults, what_is_to_be_made_need_not_be_there) {
    server.put_directory("/d");
    const auto directory = server.handle("/d");
    client();
    const auto make = [&](Procedure procedure, const FileHandle& dir) {
        if (procedure == Procedure::mkdir) return code(client().mkdir(context, dir, "m", {}));
        if (procedure == Procedure::symlink)
            return code(client().symlink(context, dir, "s", "a", {}));
        if (procedure == Procedure::mknod) {
            return code(client().mknod(context, dir, "f", FileType::fifo, 0, 0, {}));
        }
        const auto how = CreateHow::guarded;
        return code(client().create(context, dir, "c", how, {}, no_verifier_));
    };
    const auto makers = {Procedure::create, Procedure::mkdir, Procedure::symlink, Procedure::mknod};
    for (const auto procedure : makers) {
        SCOPED_TRACE(to_string(procedure));
        server.inject({.procedure = procedure, .times = 2, .fail = Status::noent});
        EXPECT_EQ(make(procedure, client().root()), 0);
        EXPECT_EQ(wire(procedure).size(), 3u);
    }
    server.remove_path("/d");
    for (const auto procedure : makers) {
        SCOPED_TRACE(to_string(procedure));
        server.inject({.procedure = procedure, .times = 1, .fail = Status::noent});
        EXPECT_EQ(make(procedure, directory), ENOENT) << "the directory is gone";
        EXPECT_EQ(wire(procedure).size(), 4u);
    }
}

TEST_F(WireFaults, what_was_made_and_said_to_be_nowhere_is_ours) {
    client();
    server.inject({.procedure = Procedure::symlink, .fail = Status::noent, .before = [&] {
                       server.put_symlink("/s", "a");
                   }});
    EXPECT_EQ(code(client().symlink(context, client().root(), "s", "a", {})), 0);
    EXPECT_EQ(wire(Procedure::symlink).size(), 2u);
}

TEST_F(WireFaults, names_that_are_stale_are_told_so) {
    server.put_directory("/d");
    const auto directory = server.handle("/d");
    client();
    server.remove_path("/d");
    EXPECT_EQ(code(client().remove(context, directory, "x")), ESTALE);
    EXPECT_EQ(wire(Procedure::remove).size(), 1u);
    EXPECT_EQ(code(client().rename(context, client().root(), "a", directory, "b", 1)), ESTALE);
    EXPECT_EQ(wire(Procedure::rename).size(), 1u);
    server.inject({.procedure = Procedure::readdir, .times = 100, .fail = Status::stale});
    EXPECT_EQ(code(client().readdir(context, client().root(), {}, 8192)), ESTALE)
        << "a server that says nothing else is believed";
    EXPECT_EQ(wire(Procedure::readdir).size(), 4u);
}

}  // namespace
}  // namespace uidnfs::test
