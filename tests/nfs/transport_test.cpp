// SPDX-License-Identifier: Apache-2.0
// The transport on the wire while nothing is lost: framing, order, payload, budgets, identity.
#include "nfs/rpc/status.hpp"
#include "wire_fixture.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <set>

namespace uidnfs::test {
namespace {

using namespace nfs;
using rpc::ProcedureId;
using rpc::Transport;

constexpr ProcedureId kEcho{200001, 1, 1};

class TransportTest : public WireTest {
protected:
    core::Task<core::Result<core::Slice>> ask(Transport& transport, ByteVector arguments = {}) {
        auto asking = rpc::ask(transport, kEcho, *credential_, arguments);
        co_return co_await asking;
    }
    std::string answer_text(const core::Result<core::Slice>& answer) {
        return answer ? text_of(*answer) : core::to_string(answer.error());
    }
    static ByteVector text(std::string_view four_bytes) {
        return XdrWriter().fixed(four_bytes).bytes();
    }
};

TEST_F(TransportTest, AReplySplitAtEveryByteArrives) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        const auto call = c.read_call();
        for (const auto byte : record(accepted(call.xid, text("whole answer")))) {
            c.send({byte});
            std::this_thread::sleep_for(1ms);
        }
    });
    Transport transport(reactor_, options_for(peer.port()));
    EXPECT_EQ(answer_text(run(ask(transport))), "whole answer");
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(TransportTest, AReplyInFragmentsArrives) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        const auto body = accepted(c.read_call().xid, text("in pieces!!!"));
        const auto cut = [&](std::size_t from, std::size_t to) {
            return ByteVector(
                body.begin() + static_cast<std::ptrdiff_t>(from),
                body.begin() + static_cast<std::ptrdiff_t>(to)
            );
        };
        c.send(fragment(cut(0, 3), Last::no));
        c.send(fragment(cut(3, 29), Last::no));
        c.send(fragment(cut(29, body.size()), Last::yes));
    });
    Transport transport(reactor_, options_for(peer.port()));
    EXPECT_EQ(answer_text(run(ask(transport))), "in pieces!!!");
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(TransportTest, RepliesOutOfOrderFindTheirCalls) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        std::vector<WireCall> calls;
        for (int i = 0; i < 20; ++i) calls.push_back(c.read_call());
        for (auto call = calls.rbegin(); call != calls.rend(); ++call)
            c.reply(*call, call->arguments);
    });
    Transport transport(reactor_, options_for(peer.port()));
    std::vector<std::string> answers(20);
    int done = 0;
    const auto lane = [&](int i) -> core::Task<void> {
        auto asking = ask(transport, XdrWriter().u32(static_cast<std::uint32_t>(i)).bytes());
        const auto answer = co_await asking;
        answers[static_cast<std::size_t>(i)] = answer_text(answer);
        ++done;
    };
    for (int i = 0; i < 20; ++i) core::spawn(lane(i));
    run_until([&] { return done == 20; });
    for (char i = 0; i < 20; ++i) {
        EXPECT_EQ(answers[static_cast<std::size_t>(i)], (std::string{'\0', '\0', '\0', i}));
    }
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(TransportTest, AnAnswerToNobodyIsDropped) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        const auto call = c.read_call();
        c.send(record(accepted(call.xid + 1000, text("nobody"))));
        c.reply(call, text("somebody"));
        c.send(record(accepted(call.xid, text("again"))));
        const auto second = c.read_call();
        c.reply(second, text("next"));
    });
    Transport transport(reactor_, options_for(peer.port()));
    EXPECT_EQ(answer_text(run(ask(transport))), "somebody");
    EXPECT_EQ(answer_text(run(ask(transport))), "next");
    EXPECT_EQ(transport.traffic().unknown_replies, 2u);
    EXPECT_EQ(transport.traffic().reconnects, 0u);
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(TransportTest, EveryCallCarriesTheIdentity) {
    std::vector<ByteVector> seen;
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        for (int i = 0; i < 3; ++i) {
            const auto call = c.read_call();
            seen.push_back(call.credential);
            c.reply(call, {});
        }
    });
    Transport transport(reactor_, options_for(peer.port()));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(run(ask(transport)));
    EXPECT_EQ(peer.finish(), "");
    const auto body = XdrWriter().u32(0).opaque("client").u32(1001).u32(1002).u32(1).u32(7).bytes();
    const auto wanted = XdrWriter()
                            .u32(1)
                            .u32(static_cast<std::uint32_t>(body.size()))
                            .append(body)
                            .u32(0)
                            .u32(0)
                            .bytes();
    EXPECT_EQ(seen, (std::vector<ByteVector>{wanted, wanted, wanted}));
}

TEST_F(TransportTest, FaultsOfTheServerEndTheCallAlone) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        const auto denied = c.read_call();
        c.send(record(XdrWriter().u32(denied.xid).u32(1).u32(1).u32(1).u32(5).bytes()));
        const auto unavailable = c.read_call();
        c.send(record(XdrWriter().u32(unavailable.xid).u32(1).u32(0).u32(0).u32(0).u32(3).bytes()));
        const auto nonsense = c.read_call();
        c.send(record(XdrWriter().u32(nonsense.xid).u32(1).u32(9).bytes()));
        c.reply(c.read_call(), text("fine"));
    });
    Transport transport(reactor_, options_for(peer.port()));
    EXPECT_EQ(run(ask(transport)).error(), rpc::to_error(rpc::Fault::auth_too_weak));
    EXPECT_EQ(run(ask(transport)).error(), rpc::to_error(rpc::Fault::procedure_unavailable));
    EXPECT_EQ(run(ask(transport)).error(), rpc::protocol_error());
    EXPECT_EQ(answer_text(run(ask(transport))), "fine");
    EXPECT_EQ(transport.traffic().reconnects, 0u);
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(TransportTest, CallsMadeTogetherAreSentTogether) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        for (int i = 0; i < 50; ++i) c.reply(c.read_call(), {});
    });
    Transport transport(reactor_, options_for(peer.port()));
    int done = 0;
    const auto lane = [&]() -> core::Task<void> {
        auto asking = ask(transport);
        const auto answer = co_await asking;
        EXPECT_TRUE(answer);
        ++done;
    };
    for (int i = 0; i < 50; ++i) core::spawn(lane());
    run_until([&] { return done == 50; });
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(TransportTest, ClosingEndsEveryWaitingCall) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        (void)c.read_call();
        (void)c.read_call();
        if (!c.is_closed_within(5s)) throw std::runtime_error("the client did not close");
    });
    Transport transport(reactor_, options_for(peer.port()));
    int ended = 0;
    const auto lane = [&]() -> core::Task<void> {
        auto asking = ask(transport);
        const auto answer = co_await asking;
        EXPECT_EQ(answer.error(), core::Error(ECONNABORTED));
        ++ended;
    };
    core::spawn(lane());
    core::spawn(lane());
    run_for(100ms);
    EXPECT_EQ(ended, 0);
    transport.close(core::Error(ECONNABORTED));
    EXPECT_EQ(ended, 0) << "never from inside close()";
    run_until([&] { return ended == 2; });
    EXPECT_EQ(run(ask(transport)).error(), core::Error(ECONNABORTED));
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(TransportTest, AnIdleConnectionThatTheServerClosesIsMadeAgainWhenNeeded) {
    std::uint16_t ports[2]{};
    Peer peer([&](Peer& p) {
        {
            auto c = p.accept();
            ports[0] = c.client_port();
            c.reply(c.read_call(), text("one."));
        }
        auto c = p.accept();
        ports[1] = c.client_port();
        c.reply(c.read_call(), text("two."));
    });
    Transport transport(reactor_, options_for(peer.port()));
    EXPECT_EQ(answer_text(run(ask(transport))), "one.");
    run_for(50ms);
    EXPECT_EQ(answer_text(run(ask(transport))), "two.");
    EXPECT_EQ(peer.finish(), "");
    EXPECT_EQ(transport.traffic().retransmits, 0u);
}

TEST_F(TransportTest, EachConnectionIsToldBeforeItIsUsedAndWhenItEnds) {
    Peer peer([](Peer& p) {
        {
            auto lost = p.accept();
            lost.read_call();
        }
        auto c = p.accept();
        c.reply(c.read_call(), {});
    });
    std::vector<nfs::ConnectionNews> news;
    std::vector<std::uint64_t> sent;  // bytes, when they were told
    auto options = options_for(peer.port());
    Transport* told_of = nullptr;
    options.on_connection = [&](const nfs::ConnectionNews& item) {
        news.push_back(item);
        if (told_of) sent.push_back(told_of->traffic().bytes_sent);
    };
    std::uint16_t port = 0;
    {
        Transport transport(reactor_, options);
        told_of = &transport;
        EXPECT_TRUE(run(ask(transport)));
        port = transport.connections().front()->local_port();
        told_of = nullptr;
    }
    EXPECT_EQ(peer.finish(), "");
    using Event = nfs::ConnectionNews::Event;
    ASSERT_EQ(news.size(), 4u);
    EXPECT_EQ(news[0].event, Event::made);
    EXPECT_EQ(news[1].event, Event::ended);
    EXPECT_EQ(news[2].event, Event::made);
    EXPECT_EQ(news[3].event, Event::ended);
    EXPECT_EQ(sent.at(0), 0u);
    EXPECT_EQ(sent.at(1), sent.at(2));
    EXPECT_EQ(news[2].local_port, port);
    EXPECT_EQ(news[2].server_address, "127.0.0.1:" + std::to_string(peer.port()));
}

TEST_F(TransportTest, AReservedSourcePortIsUsedWherePermitted) {
    std::uint16_t port = 0;
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        port = c.client_port();
        c.reply(c.read_call(), {});
    });
    auto options = options_for(peer.port());
    options.connection.source = SourcePort::reserved;
    const LogCapture log;
    Transport transport(reactor_, options);
    EXPECT_TRUE(run(ask(transport)));
    EXPECT_EQ(peer.finish(), "");
    const auto& connection = *transport.connections().front();
    EXPECT_EQ(connection.local_port(), port);
    if (connection.port_origin() == rpc::PortOrigin::reserved) {
        EXPECT_GE(port, 512);
        EXPECT_LE(port, 1023);
        EXPECT_EQ(log.count("no reserved source port"), 0u);
    } else {
        EXPECT_EQ(connection.port_origin(), rpc::PortOrigin::not_permitted);
        EXPECT_EQ(log.count("no reserved source port"), 1u);
    }
}

TEST_F(TransportTest, LargeReadsArriveIntactAmongSmallReplies) {
    constexpr int kCalls = 24;
    const auto data_of = [](std::uint64_t offset) {
        return pattern(
            offset % 3 == 0   ? 1u << 20
            : offset % 3 == 1 ? 100
                              : 131072,
            static_cast<unsigned>(offset)
        );
    };
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        for (int i = 0; i < kCalls; ++i) {
            const auto call = c.read_call();
            const auto offset = static_cast<unsigned>(call.arguments[15]);
            c.reply(
                call,
                XdrWriter()
                    .u32(0)
                    .post_op_attr(kRegular, 4, 5)
                    .u32(static_cast<std::uint32_t>(data_of(offset).size()))
                    .u32(0)
                    .opaque(data_of(offset))
                    .bytes()
            );
        }
    });
    auto client = client_for(peer);
    const OpenRef file{handle_of("file")};
    int done = 0;
    std::vector<ReadReply> kept;
    const auto lane = [&](std::uint64_t offset) -> core::Task<void> {
        auto reading = client->read(context_, file, offset, 1u << 20);
        auto reply = co_await reading;
        if (!reply) {
            ADD_FAILURE() << core::to_string(reply.error());
        } else {
            EXPECT_EQ(text_of(reply->data), data_of(offset)) << offset;
            kept.push_back(std::move(*reply));
        }
        ++done;
    };
    for (int i = 0; i < kCalls; ++i) core::spawn(lane(static_cast<std::uint64_t>(i)));
    run_until([&] { return done == kCalls; });
    EXPECT_EQ(kept.size(), static_cast<std::size_t>(kCalls));
    EXPECT_EQ(peer.finish(), "");
    client->transport().close(core::Error(ECONNABORTED));
    settle();
}

TEST_F(TransportTest, WritePayloadGoesOutInOrderFromWhereItLies) {
    const auto data = pattern(1 << 20);
    ByteVector seen;
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        const auto call = c.read_call();
        seen = call.arguments;
        c.reply(
            call,
            XdrWriter().u32(0).empty_wcc().u32((1u << 20) - 3).u32(0).fixed("verifier").bytes()
        );
    });
    auto client = client_for(peer);
    const OpenRef file{handle_of("file")};
    OwnedMemory memory(data);
    std::vector<core::Slice> slices;
    for (std::size_t at = 0; at + 3 < data.size(); at += 4096) {
        slices.push_back(memory.slice(at, std::min<std::size_t>(4096, data.size() - 3 - at)));
    }
    const auto reply = run(client->write(context_, file, 12, slices, Stability::unstable));
    EXPECT_EQ(peer.finish(), "");
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->count, (1u << 20) - 3);
    EXPECT_EQ(
        seen,
        XdrWriter()
            .opaque("file")
            .u64(12)
            .u32((1u << 20) - 3)
            .u32(0)
            .opaque(data.substr(0, data.size() - 3))
            .bytes()
    );
    client->transport().close(core::Error(ECONNABORTED));
    settle();
}

TEST_F(TransportTest, WhatIsInFlightIsBounded) {
    constexpr int kCalls = 100;
    std::atomic<int> arrived{0};
    std::atomic<bool> may_answer{false};
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        std::vector<WireCall> calls;
        while (!may_answer) {
            if (!c.has_input_within(50ms)) continue;
            calls.push_back(c.read_call());
            ++arrived;
        }
        const auto empty = XdrWriter().u32(0).no_attr().u32(0).u32(1).opaque("").bytes();
        for (const auto& call : calls) c.reply(call, empty);
        for (auto n = calls.size(); n < kCalls; ++n) c.reply(c.read_call(), empty);
    });
    auto client = client_for(peer);
    const OpenRef file{handle_of("file")};
    int done = 0;
    const auto lane = [&]() -> core::Task<void> {
        auto reading = client->read(context_, file, 0, 1u << 20);
        const auto reply = co_await reading;
        EXPECT_TRUE(reply);
        ++done;
    };
    for (int i = 0; i < kCalls; ++i) core::spawn(lane());
    run_for(300ms);
    EXPECT_GE(arrived, 8);
    EXPECT_LE(arrived, 32) << "32 MiB of replies per connection";
    may_answer = true;
    run_until([&] { return done == kCalls; });
    EXPECT_EQ(peer.finish(), "");
    client->transport().close(core::Error(ECONNABORTED));
    settle();
}

TEST_F(TransportTest, ChangesOfOneDirectoryKeepToOneConnection) {
    // Directory -> connections over which its changes came.
    std::map<std::string, std::set<std::uint16_t>> ports;
    std::set<std::uint16_t> all;
    constexpr int kDirectories = 7;  // odd: taking turns would mix them
    constexpr int kRounds = 4;
    std::mutex mutex;
    Peer peer([&](Peer& p) {
        std::vector<std::thread> threads;
        for (int i = 0; i < 2; ++i) {
            threads.emplace_back([&, c = std::make_shared<Conversation>(p.accept())] {
                for (;;) {
                    WireCall call;
                    try {
                        call = c->read_call();
                    } catch (const std::exception&) {
                        return;
                    }
                    const std::lock_guard lock(mutex);
                    ports[std::string(1, static_cast<char>(call.arguments[4]))].insert(
                        c->client_port()
                    );
                    all.insert(c->client_port());
                    c->reply(call, XdrWriter().u32(0).empty_wcc().bytes());
                }
            });
        }
        for (auto& thread : threads) thread.join();
    });
    auto options = options_for(peer.port());
    options.connections = 2;
    auto client = client_for(options);
    int done = 0;
    const auto lane = [&](int n) -> core::Task<void> {
        const auto dir = handle_of(std::string(1, static_cast<char>('a' + n % kDirectories)));
        auto removing = client->remove(context_, dir, "x");
        const auto removed = co_await removing;
        EXPECT_TRUE(removed);
        ++done;
    };
    for (int i = 0; i < kDirectories * kRounds; ++i) core::spawn(lane(i));
    run_until([&] { return done == kDirectories * kRounds; });
    client->transport().close(core::Error(ECONNABORTED));
    settle();
    EXPECT_EQ(peer.finish(), "");
    EXPECT_EQ(ports.size(), static_cast<std::size_t>(kDirectories));
    for (const auto& [dir, used] : ports) EXPECT_EQ(used.size(), 1u) << dir;
    EXPECT_EQ(all.size(), 2u);
}

}  // namespace
}  // namespace uidnfs::test
