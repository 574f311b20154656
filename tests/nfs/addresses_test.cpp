// SPDX-License-Identifier: Apache-2.0
// Where a server is: which of its addresses answers, and on which port a program listens.
#include "nfs/portmap.hpp"
#include "nfs/rpc/reach.hpp"
#include "wire_fixture.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>

namespace uidnfs::test {
namespace {

using namespace nfs;

constexpr std::uint32_t kProgram = 100005;
constexpr std::uint32_t kPortmapProgram = 100000;

class PortmapTest : public WireTest {
protected:
    core::Result<std::uint16_t> ask(const Peer& peer) {
        auto options = options_for(peer.port());
        options.connection.persistence = rpc::ConnectionOptions::Persistence::once;
        rpc::Transport transport(reactor_, options);
        const auto port = run(portmap::get_port(transport, *credential_, kProgram, 3));
        transport.close(core::Error(ECONNABORTED));
        settle();
        return port;
    }
    static WireCall expect(Conversation& c, std::uint32_t version) {
        const auto call = c.read_call();
        if (call.program != kPortmapProgram || call.procedure != 3 || call.version != version) {
            throw std::runtime_error("expected version " + std::to_string(version));
        }
        return call;
    }
    static void refuse_version(Conversation& c, const WireCall& call) {
        c.send(record(
            XdrWriter().u32(call.xid).u32(1).u32(0).u32(0).u32(0).u32(2).u32(2).u32(2).bytes()
        ));
    }
};

TEST_F(PortmapTest, Version3IsAskedFirstAndForTheFamilyOfTheConnection) {
    ByteVector arguments;
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        const auto call = expect(c, 3);
        arguments = call.arguments;
        c.reply(call, XdrWriter().opaque("127.0.0.1.78.80").bytes());
    });
    EXPECT_EQ(ask(peer).value(), 20048);
    EXPECT_EQ(peer.finish(), "");
    const auto wanted =
        XdrWriter().u32(kProgram).u32(3).opaque("tcp").opaque("").opaque("").bytes();
    EXPECT_EQ(arguments, wanted);
}

TEST_F(PortmapTest, AnOldPortmapperIsAskedInVersion2) {
    ByteVector arguments;
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        refuse_version(c, expect(c, 3));
        const auto call = expect(c, 2);
        arguments = call.arguments;
        c.reply(call, XdrWriter().u32(20048).bytes());
    });
    EXPECT_EQ(ask(peer).value(), 20048);
    EXPECT_EQ(peer.finish(), "");
    EXPECT_EQ(arguments, XdrWriter().u32(kProgram).u32(3).u32(6).u32(0).bytes());
}

TEST_F(PortmapTest, WhatVersion3DoesNotKnowMayBeRegisteredInVersion2) {
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        c.reply(expect(c, 3), XdrWriter().opaque("").bytes());
        c.reply(expect(c, 2), XdrWriter().u32(20048).bytes());
    });
    EXPECT_EQ(ask(peer).value(), 20048);
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(PortmapTest, WhatNobodyKnowsIsPortZero) {
    for (const bool has_version_2 : {true, false}) {
        Peer peer([&](Peer& p) {
            auto c = p.accept();
            c.reply(expect(c, 3), XdrWriter().opaque("").bytes());
            const auto call = expect(c, 2);
            has_version_2 ? c.reply(call, XdrWriter().u32(0).bytes()) : refuse_version(c, call);
        });
        EXPECT_EQ(ask(peer).value(), 0) << has_version_2;
        EXPECT_EQ(peer.finish(), "");
    }
}

TEST_F(PortmapTest, APortmapperWithoutEitherVersionIsAnError) {
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        refuse_version(c, expect(c, 3));
        refuse_version(c, expect(c, 2));
    });
    EXPECT_EQ(ask(peer).error().code(), EPROTONOSUPPORT);
    EXPECT_EQ(peer.finish(), "");
}

/// An address that swallows connections: its queue is full, so that SYNs are dropped.
class BlackHole {
public:
    BlackHole(const char* address, std::uint16_t port) : listener_(new_socket()) {
        sockaddr_in where{};
        where.sin_family = AF_INET;
        where.sin_port = htons(port);
        ::inet_pton(AF_INET, address, &where.sin_addr);
        const auto* const name = reinterpret_cast<const sockaddr*>(&where);
        if (::bind(listener_.get(), name, sizeof where) != 0 || ::listen(listener_.get(), 0) != 0) {
            throw std::runtime_error("cannot listen");
        }
        for (auto& filler : fillers_) {
            filler = new_socket();
            (void)::connect(filler.get(), name, sizeof where);
        }
    }

private:
    static core::Fd new_socket() {
        return core::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    }
    core::Fd listener_;
    std::array<core::Fd, 4> fillers_;
};

class ReachTest : public WireTest {
protected:
    using Names = std::vector<std::string>;

    Names order(const Names& names, std::uint16_t port, std::chrono::milliseconds limit = 5s) {
        std::vector<rpc::Address> addresses;
        for (const auto& name : names) addresses.push_back(boost::asio::ip::make_address(name));
        const auto deadline = std::chrono::steady_clock::now() + limit;
        Names out;
        for (const auto& a : run(rpc::nearest_first(reactor_, addresses, port, deadline))) {
            out.push_back(a.to_string());
        }
        settle();
        return out;
    }
    /// On 127.0.0.1, taking connections that nobody serves.
    Peer listener_{[](Peer&) {}};
    std::uint16_t port_ = listener_.port();
};

TEST_F(ReachTest, WhoRefusesGoesBehindWhoListens) {
    EXPECT_EQ(
        order({"127.0.0.8", "127.0.0.9", "127.0.0.1"}, port_),
        (Names{"127.0.0.1", "127.0.0.8", "127.0.0.9"})
    );
}

TEST_F(ReachTest, ABlackHoleCostsAHeadStartAndNotATimeOut) {
    const BlackHole hole("127.0.0.9", port_);
    const auto begun_at = std::chrono::steady_clock::now();
    EXPECT_EQ(order({"127.0.0.9", "127.0.0.1"}, port_), (Names{"127.0.0.1", "127.0.0.9"}));
    const auto took = std::chrono::steady_clock::now() - begun_at;
    EXPECT_GE(took, rpc::kAddressHeadStart);
    EXPECT_LT(took, 4s);
}

TEST_F(ReachTest, TheFirstThatListensKeepsItsPlace) {
    EXPECT_EQ(order({"127.0.0.1", "127.0.0.9"}, port_), (Names{"127.0.0.1", "127.0.0.9"}));
}

TEST_F(ReachTest, Version6IsAnAddressLikeAnother) {
    EXPECT_EQ(order({"::1", "127.0.0.1"}, port_), (Names{"127.0.0.1", "::1"}));
}

TEST_F(ReachTest, WhereNobodyListensTheOrderStays) {
    const Names names{"127.0.0.8", "127.0.0.9"};
    EXPECT_EQ(order(names, port_), names);
}

TEST_F(ReachTest, TheDeadlineEndsTheRace) {
    const BlackHole hole("127.0.0.8", port_);
    const BlackHole other("127.0.0.9", port_);
    const Names names{"127.0.0.8", "127.0.0.9"};
    const auto begun_at = std::chrono::steady_clock::now();
    EXPECT_EQ(order(names, port_, 400ms), names);
    EXPECT_LT(std::chrono::steady_clock::now() - begun_at, 4s);
}

}  // namespace
}  // namespace uidnfs::test
