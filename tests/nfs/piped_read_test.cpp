// SPDX-License-Identifier: Apache-2.0
// Large answers to READ on the wire: their data stays in a pipe where it can, and is right also
// where it cannot.
#include "core/piped.hpp"
#include "nfs/rpc/status.hpp"
#include "wire_fixture.hpp"

#include <thread>

namespace uidnfs::test {
namespace {

using namespace nfs;

constexpr std::uint32_t kBytes = 1u << 20;

class PipedReadTest : public WireTest {
protected:
    void TearDown() override {
        if (client_) client_->transport().close(core::Error(ECONNABORTED));
        settle();
    }
    core::Result<ReadReply> read(Peer& peer) {
        client_ = client_for(peer);
        return run(client_->read(context_, file_, 0, kBytes));
    }
    static ByteVector results(std::string_view data) {
        return XdrWriter()
            .u32(0)
            .post_op_attr(kRegular, kBytes, 5)
            .u32(static_cast<std::uint32_t>(data.size()))
            .u32(1)
            .opaque(data)
            .bytes();
    }

    const OpenRef file_{handle_of("file")};
    std::unique_ptr<v3::Client3> client_;
    const std::string data_ = pattern(kBytes);
};

TEST_F(PipedReadTest, TheDataStaysInAPipe) {
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        c.reply(c.read_call(), results(data_));
    });
    const auto reply = read(peer);
    ASSERT_TRUE(reply);
    EXPECT_TRUE(reply->data.piped());
    EXPECT_EQ(reply->data.size(), kBytes);
    ASSERT_TRUE(reply->attr);
    EXPECT_EQ(reply->attr->fileid, 5u);
    EXPECT_EQ(text_of(reply->data), data_);
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(PipedReadTest, ALastPartThatIsNoMultipleOfFourIsWhole) {
    const auto part = data_.substr(0, kBytes - 4095);
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        c.reply(c.read_call(), results(part));
    });
    const auto reply = read(peer);
    ASSERT_TRUE(reply);
    EXPECT_EQ(text_of(reply->data), part);
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(PipedReadTest, SmallPiecesThatFillThePipeAreReceivedAsOthersAre) {
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        const auto stream = record(accepted(c.read_call().xid, results(data_)));
        // Each waits until the one before has been taken: none is joined with another.
        for (std::size_t at = 0; at < stream.size();) {
            const auto small = at < (600u << 10);
            const auto n = std::min<std::size_t>(small ? 1400 : 65536, stream.size() - at);
            const auto from = stream.begin() + static_cast<std::ptrdiff_t>(at);
            c.send(ByteVector(from, from + static_cast<std::ptrdiff_t>(n)));
            at += n;
            if (small) std::this_thread::sleep_for(100us);
        }
    });
    const auto reply = read(peer);
    ASSERT_TRUE(reply);
    EXPECT_EQ(text_of(reply->data), data_);
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(PipedReadTest, ALongVerifierAndNoAttributesAreUnderstood) {
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        const auto xid = c.read_call().xid;
        const auto verifier = std::string(400, 'v');
        c.send(record(XdrWriter()
                          .u32(xid)
                          .u32(1)
                          .u32(0)
                          .u32(1)
                          .opaque(verifier)
                          .u32(0)
                          .append(results(data_))
                          .bytes()));
        const auto second = c.read_call().xid;
        c.send(record(
            accepted(second, XdrWriter().u32(0).no_attr().u32(kBytes).u32(0).opaque(data_).bytes())
        ));
    });
    const auto reply = read(peer);
    ASSERT_TRUE(reply);
    EXPECT_EQ(text_of(reply->data), data_);
    const auto second = run(client_->read(context_, file_, 0, kBytes));
    ASSERT_TRUE(second);
    EXPECT_FALSE(second->attr);
    EXPECT_EQ(text_of(second->data), data_);
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(PipedReadTest, ALieAboutTheDataIsFoundWithoutIt) {
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        // More than the record holds, and another count than length.
        c.reply(
            c.read_call(),
            XdrWriter()
                .u32(0)
                .no_attr()
                .u32(kBytes)
                .u32(1)
                .u32(kBytes)
                .fixed(data_.substr(8))
                .bytes()
        );
        c.reply(c.read_call(), XdrWriter().u32(0).no_attr().u32(5).u32(1).opaque(data_).bytes());
        c.reply(c.read_call(), results(data_));
    });
    EXPECT_EQ(read(peer).error(), rpc::protocol_error());
    EXPECT_EQ(run(client_->read(context_, file_, 0, kBytes)).error(), rpc::protocol_error());
    const auto good = run(client_->read(context_, file_, 0, kBytes));
    ASSERT_TRUE(good);
    EXPECT_EQ(text_of(good->data), data_);
    EXPECT_EQ(client_->status().reconnects, 0u);
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(PipedReadTest, AConnectionThatEndsInTheMidstIsMadeAgain) {
    Peer peer([&](Peer& p) {
        {
            auto c = p.accept();
            auto half = record(accepted(c.read_call().xid, results(data_)));
            half.resize(half.size() / 2);
            c.send(half);
            std::this_thread::sleep_for(50ms);
        }
        auto c = p.accept();
        c.reply(c.read_call(), results(data_));
    });
    const auto reply = read(peer);
    ASSERT_TRUE(reply);
    EXPECT_EQ(text_of(reply->data), data_);
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(PipedReadTest, MoreAnswersThanPipesAreAllRight) {
    constexpr std::size_t kAnswers = core::Pipes::kMost + 4;
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        for (std::size_t i = 0; i < kAnswers; ++i) c.reply(c.read_call(), results(data_));
    });
    client_ = client_for(peer);
    std::vector<ReadReply> kept;
    std::size_t piped = 0;
    for (std::size_t i = 0; i < kAnswers; ++i) {
        auto reply = run(client_->read(context_, file_, 0, kBytes));
        ASSERT_TRUE(reply);
        if (reply->data.piped()) ++piped;
        kept.push_back(std::move(*reply));
    }
    EXPECT_EQ(piped, core::Pipes::kMost);
    for (const auto& reply : kept) EXPECT_EQ(text_of(reply.data), data_);
    EXPECT_EQ(peer.finish(), "");
}

}  // namespace
}  // namespace uidnfs::test
