// SPDX-License-Identifier: Apache-2.0
// The transport on the wire while things go wrong: lost connections, silence, garbage.
#include "nfs/rpc/status.hpp"
#include "wire_fixture.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

namespace uidnfs::test {
namespace {

using namespace nfs;
using rpc::Transport;

constexpr rpc::ProcedureId kEcho{200001, 1, 1};

class TransportFaultsTest : public WireTest {
protected:
    core::Task<core::Result<core::Slice>> ask(Transport& transport, ByteVector arguments = {}) {
        auto asking = rpc::ask(transport, kEcho, *credential_, arguments);
        co_return co_await asking;
    }
    static ByteVector text(std::string_view s) { return XdrWriter().fixed(s).bytes(); }
    static ByteVector half(const ByteVector& bytes) {
        return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2)};
    }
    rpc::TransportOptions impatient(std::uint16_t port, rpc::GiveUp give_up) const {
        auto options = options_for(port);
        options.connection.patience = {give_up, 150ms, 1};
        return options;
    }
    std::string text_or_error(const core::Result<core::Slice>& answer) {
        return answer ? text_of(*answer) : core::to_string(answer.error());
    }
};

TEST_F(TransportFaultsTest, AResetInTheMiddleOfARecordRepeatsTheCallWithItsXidFromItsPort) {
    WireCall calls[2];
    std::uint16_t ports[2]{};
    Peer peer([&](Peer& p) {
        {
            auto c = p.accept();
            ports[0] = c.client_port();
            calls[0] = c.read_call();
            c.send(half(record(accepted(calls[0].xid, text("poison poison poison")))));
            std::this_thread::sleep_for(50ms);
            c.reset();
        }
        auto c = p.accept();
        ports[1] = c.client_port();
        calls[1] = c.read_call();
        c.reply(calls[1], text("good"));
    });
    Transport transport(reactor_, options_for(peer.port()));
    EXPECT_EQ(text_or_error(run(ask(transport, text("args")))), "good");
    EXPECT_EQ(peer.finish(), "");
    EXPECT_EQ(calls[0].xid, calls[1].xid);
    EXPECT_EQ(calls[0].arguments, calls[1].arguments);
    EXPECT_EQ(ports[0], ports[1]);
    EXPECT_EQ(transport.traffic().reconnects, 1u);
    EXPECT_EQ(transport.traffic().retransmits, 1u);
}

TEST_F(TransportFaultsTest, UnansweredCallsAreSentAgainInTheirOrder) {
    std::vector<std::uint32_t> first;
    std::vector<std::uint32_t> second;
    Peer peer([&](Peer& p) {
        {
            auto c = p.accept();
            std::vector<WireCall> calls;
            for (int i = 0; i < 10; ++i) calls.push_back(c.read_call());
            for (const auto& call : calls) first.push_back(call.xid);
            c.reply(calls[3], {});
            c.reply(calls[7], {});
            std::this_thread::sleep_for(50ms);
            c.reset();
        }
        auto c = p.accept();
        for (int i = 0; i < 8; ++i) {
            const auto call = c.read_call();
            second.push_back(call.xid);
            c.reply(call, {});
        }
    });
    Transport transport(reactor_, options_for(peer.port()));
    int done = 0;
    const auto lane = [&]() -> core::Task<void> {
        auto asking = ask(transport);
        const auto answer = co_await asking;
        EXPECT_TRUE(answer);
        ++done;
    };
    for (int i = 0; i < 10; ++i) core::spawn(lane());
    run_until([&] { return done == 10; });
    EXPECT_EQ(peer.finish(), "");
    first.erase(first.begin() + 7);
    first.erase(first.begin() + 3);
    EXPECT_EQ(first, second);
}

TEST_F(TransportFaultsTest, AHalfSentWriteIsSentWholeAgain) {
    const auto data = pattern(1 << 20);
    ByteVector seen;
    Peer peer([&](Peer& p) {
        {
            auto c = p.accept();
            (void)c.read_bytes(300000);
            c.reset();
        }
        auto c = p.accept();
        const auto call = c.read_call();
        seen = call.arguments;
        c.reply(
            call, XdrWriter().u32(0).empty_wcc().u32(1u << 20).u32(0).fixed("verifier").bytes()
        );
    });
    auto client = client_for(peer);
    OwnedMemory memory(data);
    const OpenRef file{handle_of("file")};
    const std::array<core::Slice, 1> slices{memory.all()};
    const auto reply = run(client->write(context_, file, 0, slices, Stability::unstable));
    EXPECT_EQ(peer.finish(), "");
    ASSERT_TRUE(reply) << core::to_string(reply.error());
    EXPECT_EQ(seen, XdrWriter().opaque("file").u64(0).u32(1u << 20).u32(0).opaque(data).bytes());
    client->transport().close(core::Error(ECONNABORTED));
    settle();
}

TEST_F(TransportFaultsTest, AnAnswerBeforeTheEndOfTheCallWaitsUntilItIsSent) {
    const auto data = pattern(1 << 20);
    constexpr int kWrites = 16;  // more than socket buffers hold
    bool is_intact = true;
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        const auto mark_and_xid = c.read_bytes(8);
        std::uint32_t xid = 0;
        std::memcpy(&xid, mark_and_xid.data() + 4, 4);
        xid = __builtin_bswap32(xid);
        const auto results =
            XdrWriter().u32(0).empty_wcc().u32(1u << 20).u32(0).fixed("verifier").bytes();
        for (std::uint32_t i = 0; i < kWrites; ++i) c.send(record(accepted(xid + i, results)));
        std::this_thread::sleep_for(200ms);
        // The rest of the stream must still be sound.
        std::uint32_t mark = 0;
        std::memcpy(&mark, mark_and_xid.data(), 4);
        (void)c.read_bytes((__builtin_bswap32(mark) & 0x7fff'ffff) - 4);
        const auto wanted = XdrWriter().opaque(data).bytes();
        std::uint32_t answered = kWrites;
        while (answered > 1) {
            const auto call = c.read_call();
            is_intact = is_intact && call.arguments.size() > wanted.size() &&
                        std::equal(wanted.rbegin(), wanted.rend(), call.arguments.rbegin());
            c.reply(call, results);  // a second answer for those that took the first
            --answered;
        }
    });
    auto client = client_for(peer);
    OwnedMemory memory(data);
    const OpenRef file{handle_of("file")};
    const std::array<core::Slice, 1> slices{memory.all()};
    int done = 0;
    const auto lane = [&]() -> core::Task<void> {
        auto writing = client->write(context_, file, 0, slices, Stability::unstable);
        const auto reply = co_await writing;
        EXPECT_TRUE(reply);
        ++done;
    };
    for (int i = 0; i < kWrites; ++i) core::spawn(lane());
    run_until([&] { return done == kWrites; });
    EXPECT_EQ(peer.finish(), "");
    EXPECT_TRUE(is_intact);
    EXPECT_EQ(client->transport().traffic().reconnects, 0u);
    client->transport().close(core::Error(ECONNABORTED));
    settle();
}

TEST_F(TransportFaultsTest, ARecordThatIsTooLongEndsTheConnectionNotTheCall) {
    Peer peer([](Peer& p) {
        {
            auto c = p.accept();
            (void)c.read_call();
            c.send(XdrWriter().u32(0xffff'ffff).bytes());
            if (!c.is_closed_within(5s)) throw std::runtime_error("the client did not close");
        }
        auto c = p.accept();
        c.reply(c.read_call(), text("good"));
    });
    const LogCapture log;
    Transport transport(reactor_, options_for(peer.port()));
    EXPECT_EQ(text_or_error(run(ask(transport))), "good");
    EXPECT_EQ(peer.finish(), "");
    EXPECT_EQ(transport.traffic().broken_streams, 1u);
    EXPECT_EQ(log.count("is no record of RPC (too long)"), 1u);
}

TEST_F(TransportFaultsTest, ACallThatIsAnsweredWithTooMuchEachTimeFailsAloneAndTheOthersGoOn) {
    Peer peer([&](Peer& p) {
        for (int round = 0; round < 3; ++round) {
            auto c = p.accept();
            const auto call = c.read_call();
            if (call.arguments != text("greedy")) throw std::runtime_error("the other came first");
            (void)c.read_call();
            c.send(XdrWriter().u32(0xc000'0000).u32(call.xid).u32(1).bytes());
            if (!c.is_closed_within(5s)) throw std::runtime_error("the client did not close");
        }
        auto c = p.accept();
        c.reply(c.read_call(), text("good"));
    });
    Transport transport(reactor_, options_for(peer.port()));
    std::optional<core::Error> refused;
    std::string other;
    const auto greedy = [&]() -> core::Task<void> {
        auto asking = ask(transport, text("greedy"));
        const auto answer = co_await asking;
        if (!answer) refused = answer.error();
    };
    const auto modest = [&]() -> core::Task<void> {
        auto asking = ask(transport, text("modest"));
        other = text_or_error(co_await asking);
    };
    core::spawn(greedy());
    core::spawn(modest());
    run_until([&] { return !other.empty(); });
    EXPECT_EQ(peer.finish(), "");
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code(), EIO);
    EXPECT_EQ(other, "good");
    EXPECT_EQ(transport.traffic().broken_streams, 3u);
}

TEST_F(TransportFaultsTest, WhatIsNoReplyEndsTheConnectionNotTheCall) {
    for (const auto& garbage :
         {XdrWriter().u32(1).u32(0).u32(2).bytes(), XdrWriter().u32(1).bytes(), ByteVector()}) {
        Peer peer([&](Peer& p) {
            {
                auto c = p.accept();
                (void)c.read_call();
                c.send(record(garbage));
                if (!c.is_closed_within(5s)) throw std::runtime_error("the client did not close");
            }
            auto c = p.accept();
            c.reply(c.read_call(), text("good"));
        });
        const LogCapture log;
        Transport transport(reactor_, options_for(peer.port()));
        EXPECT_EQ(text_or_error(run(ask(transport))), "good");
        EXPECT_EQ(peer.finish(), "");
        EXPECT_EQ(log.count("is not an RPC reply"), 1u);
    }
}

TEST_F(TransportFaultsTest, AServerThatTalksGarbageForEverIsAskedEverMoreRarely) {
    int connections = 0;
    Peer peer([&](Peer& p) {
        for (const auto until = std::chrono::steady_clock::now() + 1s;
             std::chrono::steady_clock::now() < until;
             ++connections) {
            auto c = p.accept();
            (void)c.read_call();
            c.send(XdrWriter().u32(0xffff'ffff).bytes());
            (void)c.is_closed_within(5s);
        }
    });
    const LogCapture log;
    Transport transport(reactor_, impatient(peer.port(), rpc::GiveUp::never));
    const auto lane = [&]() -> core::Task<void> {
        auto asking = ask(transport);
        const auto answer = co_await asking;
        EXPECT_FALSE(answer);
    };
    core::spawn(lane());
    run_for(2500ms);
    transport.close(core::Error(ECONNABORTED));
    settle();
    EXPECT_EQ(peer.finish(), "");
    EXPECT_GE(connections, 3);
    EXPECT_LE(connections, 8);
}

TEST_F(TransportFaultsTest, SilenceIsLoggedOnceAndSoIsItsEnd) {
    std::vector<WireCall> calls;
    std::vector<std::uint16_t> ports;
    Peer peer([&](Peer& p) {
        for (int i = 0; i < 2; ++i) {
            auto c = p.accept();
            ports.push_back(c.client_port());
            // timeo, and once more for retrans; then a new connection.
            for (int repetition = 0; repetition < 2; ++repetition) calls.push_back(c.read_call());
            if (!c.is_closed_within(5s)) throw std::runtime_error("the client went on waiting");
        }
        auto c = p.accept();
        ports.push_back(c.client_port());
        calls.push_back(c.read_call());
        c.reply(calls.back(), text("good"));
    });
    const LogCapture log;
    Transport transport(reactor_, impatient(peer.port(), rpc::GiveUp::never));
    EXPECT_EQ(text_or_error(run(ask(transport))), "good");
    EXPECT_EQ(peer.finish(), "");
    EXPECT_EQ(log.count("server nas1 not responding, still trying"), 1u) << log.text();
    EXPECT_EQ(log.count("server nas1 OK"), 1u);
    for (const auto& call : calls) EXPECT_EQ(call.xid, calls[0].xid);
    for (const auto port : ports) EXPECT_EQ(port, ports[0]);
    EXPECT_EQ(transport.traffic().retransmits, 4u);
}

TEST_F(TransportFaultsTest, AServerThatComesBackAndSaysNothingIsNotWaitedForWithoutEnd) {
    // One caller alone: no other call comes that would look at the clock.
    const auto port = closed_port();
    const LogCapture log;
    Transport transport(reactor_, impatient(port, rpc::GiveUp::never));
    bool is_done = false;
    const auto lane = [&]() -> core::Task<void> {
        auto asking = ask(transport);
        const auto answer = co_await asking;
        EXPECT_TRUE(answer);
        is_done = true;
    };
    core::spawn(lane());
    run_for(700ms);  // it is silent by now, and that is known
    Peer peer(
        [](Peer& p) {
            {
                auto c = p.accept();
                (void)c.read_call();
                (void)c.read_call();
                if (!c.is_closed_within(5s)) throw std::runtime_error("the client waits for ever");
            }
            auto c = p.accept();
            c.reply(c.read_call(), {});
        },
        port
    );
    run_until([&] { return is_done; });
    EXPECT_EQ(peer.finish(), "");
    EXPECT_EQ(log.count("server nas1 not responding, still trying"), 1u) << log.text();
    EXPECT_EQ(log.count("server nas1 OK"), 1u);
}

TEST_F(TransportFaultsTest, AnOutageOfASoftMountIsLoggedOnceHoweverManyCallsEnd) {
    std::atomic<bool> answers{false};
    Peer peer([&](Peer& p) {
        for (bool is_answered = false; !is_answered;) {
            auto c = p.accept();
            try {
                while (c.has_input_within(5s)) {
                    const auto call = c.read_call();
                    if (!answers) continue;
                    c.reply(call, text("good"));
                    is_answered = true;
                }
            } catch (const std::runtime_error&) {
                // closed
            }
        }
    });
    const LogCapture log;
    Transport transport(reactor_, impatient(peer.port(), rpc::GiveUp::with_eio));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(run(ask(transport)).error().code(), EIO);
    EXPECT_EQ(log.count("server nas1 not responding, timed out"), 1u) << log.text();
    EXPECT_EQ(log.count("still trying"), 0u) << log.text();
    answers = true;
    EXPECT_EQ(text_or_error(run(ask(transport))), "good");
    EXPECT_EQ(log.count("server nas1 OK"), 1u) << log.text();
    transport.close(core::Error(ECONNABORTED));
    settle();
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(TransportFaultsTest, AServerThatLivesIsAskedAgainWithoutANewConnection) {
    std::vector<std::uint32_t> xids;
    Peer peer([&](Peer& p) {
        auto c = p.accept();
        const auto lost = c.read_call();
        xids.push_back(lost.xid);
        // Others are answered all the time.
        for (;;) {
            const auto call = c.read_call();
            if (call.xid == lost.xid) {
                xids.push_back(call.xid);
                c.reply(call, text("late"));
                return;
            }
            c.reply(call, {});
        }
    });
    Transport transport(reactor_, impatient(peer.port(), rpc::GiveUp::never));
    bool is_done = false;
    std::string answer;
    const auto slow = [&]() -> core::Task<void> {
        auto asking = ask(transport);
        const auto reply = co_await asking;
        answer = text_or_error(reply);
        is_done = true;
    };
    const auto busy = [&]() -> core::Task<void> {
        while (!is_done) {
            auto asking = ask(transport);
            (void)co_await asking;
            auto sleep = reactor_.sleep_for(20ms);
            co_await sleep;
        }
    };
    core::spawn(slow());
    run_for(20ms);
    core::spawn(busy());
    run_until([&] { return is_done; });
    transport.close(core::Error(ECONNABORTED));
    run_for(50ms);
    EXPECT_EQ(peer.finish(), "");
    EXPECT_EQ(answer, "late");
    EXPECT_EQ(xids.size(), 2u);
    EXPECT_EQ(transport.traffic().reconnects, 0u);
}

TEST_F(TransportFaultsTest, SoftEndsWithEioAndSofterrWithEtimedout) {
    for (const auto& [give_up, code] :
         {std::pair{rpc::GiveUp::with_eio, EIO},
          std::pair{rpc::GiveUp::with_etimedout, ETIMEDOUT}}) {
        Peer peer([](Peer& p) {
            auto c = p.accept();
            const auto call = c.read_call();
            if (c.read_call().xid != call.xid) throw std::runtime_error("expected a repetition");
            (void)c.is_closed_within(5s);
        });
        const LogCapture log;
        Transport transport(reactor_, impatient(peer.port(), give_up));
        const auto begun_at = std::chrono::steady_clock::now();
        EXPECT_EQ(run(ask(transport)).error().code(), code);
        const auto took = std::chrono::steady_clock::now() - begun_at;
        EXPECT_GE(took, 300ms) << "timeo, and once more for retrans";
        EXPECT_LE(took, 3s);
        EXPECT_EQ(log.count("server nas1 not responding, timed out"), 1u);
        transport.close(core::Error(ECONNABORTED));
        EXPECT_EQ(peer.finish(), "");
    }
}

TEST_F(TransportFaultsTest, ASoftMountLeavesAConnectionThatTakesEverythingAndAnswersNothing) {
    std::vector<std::uint16_t> ports;
    Peer peer([&](Peer& p) {
        {
            auto c = p.accept();
            ports.push_back(c.client_port());
            (void)c.read_call();
            (void)c.read_call();
            if (!c.is_closed_within(5s)) throw std::runtime_error("the client stays");
        }
        auto c = p.accept();
        ports.push_back(c.client_port());
        c.reply(c.read_call(), text("good"));
    });
    const LogCapture log;
    Transport transport(reactor_, impatient(peer.port(), rpc::GiveUp::with_eio));
    EXPECT_EQ(run(ask(transport)).error().code(), EIO);
    EXPECT_EQ(text_or_error(run(ask(transport))), "good");
    EXPECT_EQ(peer.finish(), "");
    EXPECT_EQ(log.count("server nas1 not responding, timed out"), 1u) << log.text();
    EXPECT_EQ(log.count("server nas1 OK"), 1u) << log.text();
    ASSERT_EQ(ports.size(), 2u);
    EXPECT_EQ(ports[0], ports[1]);
}

TEST_F(TransportFaultsTest, SoftEndsAlsoWhereNobodyListens) {
    const LogCapture log;
    Transport transport(reactor_, impatient(closed_port(), rpc::GiveUp::with_eio));
    const auto begun_at = std::chrono::steady_clock::now();
    EXPECT_EQ(run(ask(transport)).error().code(), EIO);
    EXPECT_LE(std::chrono::steady_clock::now() - begun_at, 3s);
}

TEST_F(TransportFaultsTest, HardWaitsUntilTheServerIsBack) {
    const auto port = closed_port();
    const LogCapture log;
    Transport transport(reactor_, impatient(port, rpc::GiveUp::never));
    bool is_done = false;
    const auto lane = [&]() -> core::Task<void> {
        auto asking = ask(transport);
        const auto answer = co_await asking;
        EXPECT_TRUE(answer);
        is_done = true;
    };
    core::spawn(lane());
    run_for(500ms);
    EXPECT_FALSE(is_done);
    EXPECT_EQ(log.count("server nas1 not responding, still trying"), 1u);
    Peer peer(
        [](Peer& p) {
            auto c = p.accept();
            c.reply(c.read_call(), {});
        },
        port
    );
    run_until([&] { return is_done; });
    EXPECT_EQ(peer.finish(), "");
    EXPECT_EQ(log.count("server nas1 OK"), 1u);
}

TEST_F(TransportFaultsTest, AServerThatNeverReadsDoesNotStopSoftCalls) {
    Peer peer([](Peer& p) {
        auto c = p.accept();
        (void)c.has_input_within(1s);
        std::this_thread::sleep_for(1s);
    });
    const LogCapture log;
    auto client = client_for(impatient(peer.port(), rpc::GiveUp::with_eio));
    OwnedMemory memory(std::string(1 << 20, 'x'));
    const std::array<core::Slice, 1> slices{memory.all()};
    const OpenRef file{handle_of("file")};
    int done = 0;
    const auto lane = [&]() -> core::Task<void> {
        auto writing = client->write(context_, file, 0, slices, Stability::unstable);
        const auto reply = co_await writing;
        EXPECT_EQ(reply.error().code(), EIO);
        ++done;
    };
    for (int i = 0; i < 20; ++i) core::spawn(lane());
    run_until([&] { return done == 20; }, 10s);
    client->transport().close(core::Error(ECONNABORTED));
    settle();
    EXPECT_EQ(peer.finish(), "");
}

TEST_F(TransportFaultsTest, RandomResetsNeverGiveWrongData) {
    std::atomic<bool> is_over{false};
    Peer peer([&](Peer& p) {
        unsigned x = 12345;
        while (!is_over) {
            auto c = p.accept();
            try {
                for (;;) {
                    const auto call = c.read_call();
                    x = x * 1664525 + 1013904223;
                    const auto offset = static_cast<unsigned>(call.arguments[15]);
                    const auto reply = record(accepted(
                        call.xid,
                        XdrWriter()
                            .u32(0)
                            .no_attr()
                            .u32(200000)
                            .u32(0)
                            .opaque(pattern(200000, offset))
                            .bytes()
                    ));
                    if (x >> 24 < 60) {
                        const auto cut = (x >> 4) % reply.size();
                        c.send({reply.begin(), reply.begin() + static_cast<std::ptrdiff_t>(cut)});
                        c.reset();
                        break;
                    }
                    c.send(reply);
                }
            } catch (const std::exception&) {
                if (is_over) return;
            }
        }
    });
    auto client = client_for(peer);
    const OpenRef file{handle_of("file")};
    int done = 0;
    const auto lane = [&](unsigned lane_number) -> core::Task<void> {
        for (unsigned i = 0; i < 15; ++i) {
            const auto offset = lane_number * 16 + i;
            auto reading = client->read(context_, file, offset, 200000);
            const auto reply = co_await reading;
            if (!reply) {
                ADD_FAILURE() << core::to_string(reply.error());
            } else {
                EXPECT_EQ(text_of(reply->data), pattern(200000, offset));
            }
        }
        ++done;
    };
    for (unsigned i = 0; i < 4; ++i) core::spawn(lane(i));
    run_until([&] { return done == 4; }, 60s);
    EXPECT_GT(client->transport().traffic().reconnects, 3u);
    is_over = true;
    client->transport().close(core::Error(ECONNABORTED));
    settle();
    EXPECT_EQ(peer.finish(), "");
}

}  // namespace
}  // namespace uidnfs::test
