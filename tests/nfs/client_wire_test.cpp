// SPDX-License-Identifier: Apache-2.0
// The version 3 client on the wire: JUKEBOX, retransmitted calls, open, shutdown, status.
#include "nfs/rpc/status.hpp"
#include "nfs/v3/client_state.hpp"
#include "nfs/v3/status.hpp"
#include "wire_fixture.hpp"

#include <numeric>

namespace uidnfs::test {
namespace {

using namespace nfs;
using v3::Procedure;

class ClientWireTest : public WireTest {
protected:
    void TearDown() override {
        if (client_) client_->transport().close(core::Error(ECONNABORTED));
        settle();
    }
    static bool is(const WireCall& call, Procedure procedure) {
        return call.procedure == static_cast<std::uint32_t>(procedure);
    }
    static void expect(const WireCall& call, Procedure procedure) {
        if (!is(call, procedure)) throw std::runtime_error("another procedure than expected");
    }
    static ByteVector status(v3::Status s) {
        return XdrWriter().u32(static_cast<std::uint32_t>(s)).empty_wcc().bytes();
    }
    /// The first transmission is executed and its answer lost; the second hears `answer`.
    /// `arguments`: hears those of the call.
    static Conversation lose_first_answer(
        Peer& p, Procedure procedure, const ByteVector& answer, ByteVector* arguments = nullptr
    ) {
        std::uint32_t xid = 0;
        {
            auto c = p.accept();
            const auto call = c.read_call();
            expect(call, procedure);
            xid = call.xid;
            c.reset();
        }
        auto c = p.accept();
        const auto call = c.read_call();
        if (call.xid != xid) throw std::runtime_error("another xid");
        if (arguments) *arguments = call.arguments;
        c.reply(call, answer);
        return c;
    }
    static ByteVector found(
        std::uint32_t type, std::uint64_t size, std::uint64_t fileid, WireTime atime = {}
    ) {
        return XdrWriter()
            .u32(0)
            .opaque("found")
            .post_op_attr(type, size, fileid, atime)
            .post_op_attr(kDirectory, 1, 2)
            .bytes();
    }
    /// set_atime of a MKDIR: the last but set_mtime, which leaves the time to the server.
    static WireTime mark_in(const ByteVector& arguments) {
        const auto word = [&](std::size_t from_end) {
            std::uint32_t value = 0;
            for (std::size_t i = 0; i < 4; ++i) {
                const auto byte = arguments.at(arguments.size() - from_end + i);
                value = value << 8 | std::to_integer<std::uint32_t>(byte);
            }
            return value;
        };
        if (word(16) != 2 || word(4) != 0) throw std::runtime_error("other times are set");
        return {word(12), word(8)};
    }

    const FileHandle dir_ = handle_of("dir");
    std::unique_ptr<v3::Client3> client_;
};

TEST_F(ClientWireTest, JukeboxIsAskedAgainWithAnotherXid) {
    std::uint32_t xids[2]{};
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        const auto first = c.read_call();
        xids[0] = first.xid;
        c.reply(first, XdrWriter().u32(10008).bytes());
        const auto second = c.read_call();
        xids[1] = second.xid;
        c.reply(second, XdrWriter().u32(0).attr(kRegular, 4, 5).bytes());
    });
    client_ = client_for(peer);
    const auto begun_at = std::chrono::steady_clock::now();
    const auto attr = run(client_->getattr(context_, dir_));
    EXPECT_GE(std::chrono::steady_clock::now() - begun_at, 95ms);
    ASSERT_TRUE(attr);
    EXPECT_EQ(attr->fileid, 5u);
    EXPECT_NE(xids[0], xids[1]);
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(ClientWireTest, ACredentialThatIsRefusedIsShownTwiceMore) {
    const auto deny = [](Conversation& c, std::uint32_t auth_stat) {
        const auto call = c.read_call();
        c.send(record(XdrWriter().u32(call.xid).u32(1).u32(1).u32(1).u32(auth_stat).bytes()));
    };
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        for (const std::uint32_t stat : {1u, 2u, 3u, 4u}) {
            deny(c, stat);
            deny(c, stat);
            c.reply(c.read_call(), XdrWriter().u32(0).attr(kRegular, 4, 5).bytes());
        }
        for (int i = 0; i < 3; ++i) deny(c, 2);
        deny(c, 5);  // too weak: so is the next one
        deny(c, 1);
        c.reply(c.read_call(), status(v3::Status::noent));
    });
    client_ = client_for(peer);
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(run(client_->getattr(context_, dir_)));
    EXPECT_EQ(run(client_->getattr(context_, dir_)).error().code(), EACCES);
    EXPECT_EQ(run(client_->getattr(context_, dir_)).error().code(), EACCES);
    EXPECT_EQ(run(client_->remove(context_, dir_, "x")).error(), v3::to_error(2))
        << "it was not looked at before";
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(ClientWireTest, ARepeatedCallWhoseCredentialIsRefusedMayHaveBeenExecuted) {
    Peer peer([&](Peer& p) {
        {
            auto c = p.accept();
            (void)c.read_call();
            c.reset();
        }
        auto c = p.accept();
        const auto call = c.read_call();
        c.send(record(XdrWriter().u32(call.xid).u32(1).u32(1).u32(1).u32(2).bytes()));
        c.reply(c.read_call(), status(v3::Status::noent));
    });
    client_ = client_for(peer);
    EXPECT_TRUE(run(client_->remove(context_, dir_, "x")));
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(ClientWireTest, ClosingEndsTheWaitForJukebox) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        c.reply(c.read_call(), XdrWriter().u32(10008).bytes());
        (void)c.is_closed_within(5s);
    });
    client_ = client_for(peer);
    bool is_done = false;
    const auto lane = [&]() -> core::Task<void> {
        auto asking = client_->getattr(context_, dir_);
        const auto attr = co_await asking;
        EXPECT_EQ(attr.error(), core::Error(ECONNABORTED));
        is_done = true;
    };
    core::spawn(lane());
    run_for(50ms);
    const auto closed_at = std::chrono::steady_clock::now();
    client_->transport().close(core::Error(ECONNABORTED));
    run_until([&] { return is_done; });
    EXPECT_LT(std::chrono::steady_clock::now() - closed_at, 90ms);
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(ClientWireTest, OpenAsksForAttributesAndAccessInOneFlight) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        const auto access = c.read_call();
        const auto getattr = c.read_call();  // both are here before either is answered
        expect(access, Procedure::access);
        expect(getattr, Procedure::getattr);
        c.reply(getattr, XdrWriter().u32(0).attr(kRegular, 4, 5).bytes());
        c.reply(access, XdrWriter().u32(0).no_attr().u32(0x5).bytes());
    });
    client_ = client_for(peer);
    const auto opened = run(client_->open(context_, dir_, kAccessAll));
    EXPECT_EQ(peer.finish(), "");
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->attr.fileid, 5u);
    EXPECT_EQ(opened->granted, 5u);
}

TEST_F(ClientWireTest, AnUndecodableAnswerIsEioAndTheConnectionStays) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        c.reply(c.read_call(), XdrWriter().u32(0).u32(99).bytes());
        c.reply(c.read_call(), XdrWriter().u32(0).attr(kRegular, 4, 5).bytes());
    });
    const LogCapture log;
    client_ = client_for(peer);
    EXPECT_EQ(run(client_->getattr(context_, dir_)).error(), rpc::protocol_error());
    EXPECT_TRUE(run(client_->getattr(context_, dir_)));
    EXPECT_EQ(client_->status().reconnects, 0u);
    EXPECT_EQ(log.count("answered GETATTR with what NFSv3 does not allow"), 1u);
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(ClientWireTest, WhatCannotBeSentIsRefusedAtOnce) {
    client_ = client_for(options_for(closed_port()));
    EXPECT_EQ(run(client_->lookup(context_, dir_, "")).error(), core::Error(EINVAL));
    EXPECT_EQ(run(client_->lookup(context_, dir_, "a/b")).error(), core::Error(EINVAL));
    EXPECT_EQ(
        run(client_->lookup(context_, dir_, std::string_view("a\0b", 3))).error(),
        core::Error(EINVAL)
    );
    const std::string long_name(256, 'n');
    EXPECT_EQ(run(client_->remove(context_, dir_, long_name)).error(), core::Error(ENAMETOOLONG));
    EXPECT_EQ(run(client_->getattr(context_, FileHandle())).error(), core::Error(ESTALE));
    const auto long_handle = handle_of(std::string(65, 'h'));
    EXPECT_EQ(run(client_->getattr(context_, long_handle)).error(), core::Error(ESTALE));
    const std::string long_target(4097, 't');
    EXPECT_EQ(
        run(client_->symlink(context_, dir_, "x", long_target, {})).error(),
        core::Error(ENAMETOOLONG)
    );
    const OpenRef file{dir_};
    EXPECT_EQ(run(client_->read(context_, file, 0, (1u << 20) + 1)).error(), core::Error(EINVAL));
}

TEST_F(ClientWireTest, ARepeatedRemoveThatFindsNothingHasRemovedIt) {
    for (const auto procedure : {Procedure::remove, Procedure::rmdir}) {
        Peer peer([&](Peer& p) {
            auto c = lose_first_answer(p, procedure, status(v3::Status::noent));
            c.reply(c.read_call(), status(v3::Status::noent));
        });
        client_ = client_for(peer);
        const auto unlink = [&] {
            return procedure == Procedure::remove ? client_->remove(context_, dir_, "x")
                                                  : client_->rmdir(context_, dir_, "x");
        };
        EXPECT_TRUE(run(unlink()));
        EXPECT_EQ(run(unlink()).error(), v3::to_error(2)) << "sent once: the answer stands";
        EXPECT_EQ(peer.finish(), "");
        client_->transport().close(core::Error(ECONNABORTED));
        settle();
    }
}

TEST_F(ClientWireTest, ARepeatedMkdirThatFindsADirectoryWithItsMarkHasMadeIt) {
    Peer peer([](Peer& p) {
        ByteVector arguments;
        auto c = lose_first_answer(p, Procedure::mkdir, status(v3::Status::exist), &arguments);
        const auto lookup = c.read_call();
        expect(lookup, Procedure::lookup);
        c.reply(lookup, found(kDirectory, 10, 77, mark_in(arguments)));
    });
    client_ = client_for(peer);
    const auto made = run(client_->mkdir(context_, dir_, "x", {}));
    EXPECT_EQ(peer.finish(), "");
    ASSERT_TRUE(made);
    EXPECT_EQ(made->handle, handle_of("found"));
    EXPECT_EQ(made->attr->fileid, 77u);
}

TEST_F(ClientWireTest, ARepeatedMkdirThatFindsAFileHasNot) {
    Peer peer([](Peer& p) {
        auto c = lose_first_answer(p, Procedure::mkdir, status(v3::Status::exist));
        c.reply(c.read_call(), found(kRegular, 10, 77));
    });
    client_ = client_for(peer);
    EXPECT_EQ(run(client_->mkdir(context_, dir_, "x", {})).error(), v3::to_error(17));
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(ClientWireTest, ARepeatedSymlinkIsKnownByItsText) {
    const auto cases = {
        std::pair<std::uint64_t, std::string_view>{6, "target"}, {6, "elsewh"}, {7, ""}};
    for (const auto& [size, text] : cases) {
        Peer peer([&](Peer& p) {
            auto c = lose_first_answer(p, Procedure::symlink, status(v3::Status::exist));
            c.reply(c.read_call(), found(kSymlink, size, 77));
            if (text.empty()) return;
            const auto reading = c.read_call();
            expect(reading, Procedure::readlink);
            c.reply(reading, XdrWriter().u32(0).no_attr().opaque(text).bytes());
        });
        client_ = client_for(peer);
        EXPECT_EQ(
            run(client_->symlink(context_, dir_, "x", "target", {})).has_value(), text == "target"
        );
        EXPECT_EQ(peer.finish(), "");
        client_->transport().close(core::Error(ECONNABORTED));
        settle();
    }
}

TEST_F(ClientWireTest, ARepeatedLinkIsKnownByItsFile) {
    for (const std::uint64_t fileid : {5, 6}) {
        Peer peer([&](Peer& p) {
            auto c = lose_first_answer(
                p, Procedure::link, XdrWriter().u32(17).no_attr().empty_wcc().bytes()
            );
            const auto getattr = c.read_call();
            expect(getattr, Procedure::getattr);
            c.reply(getattr, XdrWriter().u32(0).attr(kRegular, 4, 5).bytes());
            c.reply(c.read_call(), found(kRegular, 4, fileid));
        });
        client_ = client_for(peer);
        const auto file = handle_of("file");
        EXPECT_EQ(run(client_->link(context_, file, dir_, "x")).has_value(), fileid == 5);
        EXPECT_EQ(peer.finish(), "");
        client_->transport().close(core::Error(ECONNABORTED));
        settle();
    }
}

TEST_F(ClientWireTest, ARepeatedRenameIsKnownByItsFile) {
    for (const std::uint64_t there : {5, 6, 0}) {
        Peer peer([&](Peer& p) {
            auto c = lose_first_answer(
                p, Procedure::rename, XdrWriter().u32(2).empty_wcc().empty_wcc().bytes()
            );
            // The server may be about to do it still.
            for (int looks = there == 5 ? 1 : 5; looks > 0; --looks) {
                const auto lookup = c.read_call();
                expect(lookup, Procedure::lookup);
                c.reply(
                    lookup, there ? found(kRegular, 4, there) : XdrWriter().u32(2).no_attr().bytes()
                );
            }
        });
        client_ = client_for(peer);
        const auto renamed = run(client_->rename(context_, dir_, "a", dir_, "b", 5));
        EXPECT_EQ(renamed.has_value(), there == 5) << there;
        EXPECT_EQ(peer.finish(), "");
        client_->transport().close(core::Error(ECONNABORTED));
        settle();
    }
}

TEST_F(ClientWireTest, StatusCountsCallsAndErrors) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        c.reply(c.read_call(), XdrWriter().u32(0).attr(kRegular, 4, 5).bytes());
        c.reply(c.read_call(), XdrWriter().u32(70).bytes());
        (void)c.is_closed_within(5s);
    });
    client_ = client_for(peer);
    EXPECT_TRUE(run(client_->getattr(context_, dir_)));
    EXPECT_FALSE(run(client_->getattr(context_, dir_)));
    const auto status = client_->status();
    EXPECT_EQ(status.server_address, "127.0.0.1:" + std::to_string(peer.port()));
    EXPECT_EQ(status.link, ClientStatus::Link::up);
    EXPECT_EQ(status.local_ports.size(), 1u);
    EXPECT_EQ(status.calls_in_flight, 0u);
    EXPECT_EQ(status.oldest_call_age_ms, 0u);
    EXPECT_GT(status.bytes_sent, 0u);
    ASSERT_EQ(status.procedures.size(), 1u);
    EXPECT_EQ(status.procedures[0].name, "GETATTR");
    EXPECT_EQ(status.procedures[0].calls, 2u);
    EXPECT_EQ(status.procedures[0].errors, 1u);
    const auto& latency = status.procedures[0].latency;
    EXPECT_EQ(std::accumulate(latency.begin(), latency.end(), std::uint64_t{0}), 2u);
    EXPECT_EQ(latency.back(), 0u) << "neither took half a minute";
    client_->transport().close(core::Error(ECONNABORTED));
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(ClientWireTest, StatusShowsHowLongACallWaits) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        (void)c.read_call();
        (void)c.is_closed_within(5s);
    });
    client_ = client_for(peer);
    bool is_done = false;
    const auto lane = [&]() -> core::Task<void> {
        auto asking = client_->getattr(context_, dir_);
        (void)co_await asking;
        is_done = true;
    };
    core::spawn(lane());
    run_for(200ms);
    const auto status = client_->status();
    EXPECT_EQ(status.calls_in_flight, 1u);
    EXPECT_GE(status.oldest_call_age_ms, 150u);
    EXPECT_GE(status.last_reply_age_ms, 150u);
    client_->transport().close(core::Error(ECONNABORTED));
    run_until([&] { return is_done; });
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(ClientWireTest, ExportedStateHoldsWhatTheNextClientNeeds) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        c.reply(c.read_call(), XdrWriter().u32(0).attr(kRegular, 4, 5).bytes());
        (void)c.is_closed_within(5s);
    });
    client_ = client_for(peer);
    nfs::FsInfo info;
    info.read_max = info.read_preferred = info.write_max = info.write_preferred = 65536;
    info.directory_preferred = 4096;
    client_->set_fs_info(info);
    nfs::Attr root;
    root.type = nfs::FileType::directory;
    root.fileid = 77;
    client_->set_root_attr(root);
    EXPECT_TRUE(run(client_->getattr(context_, dir_)));
    const auto found = nfs::v3::decode_client_state(client_->export_state());
    ASSERT_TRUE(found);
    EXPECT_EQ(found->server, client_->transport().server());
    EXPECT_EQ(found->root, client_->root());
    EXPECT_EQ(found->fs_info.read_max, 65536u);
    EXPECT_EQ(found->root_attr, root);
    EXPECT_EQ(found->ports, client_->status().local_ports);
    client_->transport().close(core::Error(ECONNABORTED));
    EXPECT_EQ(peer.finish(), "");
}

TEST(ClientState, WhatIsNotOneIsRefused) {
    nfs::v3::ClientState state;
    state.server = nfs::rpc::Endpoint(boost::asio::ip::make_address("2001:db8::1"), 2049);
    const std::array<std::byte, 3> handle{std::byte{1}, std::byte{2}, std::byte{3}};
    state.root = nfs::FileHandle(handle);
    auto& info = state.fs_info;
    info.read_max = info.read_preferred = info.write_max = info.write_preferred = 4096;
    info.directory_preferred = 4096;
    state.ports = {700, 0};
    const auto good = nfs::v3::encode(state);
    const auto found = nfs::v3::decode_client_state(good);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->server, state.server);
    EXPECT_EQ(found->root, state.root);
    EXPECT_EQ(found->ports, state.ports);
    EXPECT_FALSE(nfs::v3::decode_client_state({}));
    EXPECT_FALSE(nfs::v3::decode_client_state(std::span(good).first(good.size() - 1)));
    for (const std::size_t word : {0u, 4u}) {  // magic, version
        auto other = good;
        other[word] ^= std::byte{0x40};
        EXPECT_FALSE(nfs::v3::decode_client_state(other)) << word;
    }
    state.ports.clear();
    EXPECT_FALSE(nfs::v3::decode_client_state(nfs::v3::encode(state))) << "no connection";
    state.ports = {0};
    info.write_max = (1u << 20) + 1;
    EXPECT_FALSE(nfs::v3::decode_client_state(nfs::v3::encode(state))) << "too large a WRITE";
}

}  // namespace
}  // namespace uidnfs::test
