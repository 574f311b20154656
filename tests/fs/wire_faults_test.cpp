// SPDX-License-Identifier: Apache-2.0
// What networks and servers do to the client: connections that end anywhere, answers that are late,
// alien or broken, servers that are silent or come back. The application must not notice, unless it
// asked to be told (soft).
#include "fs/wire_faults.hpp"

#include "core/arena.hpp"
#include "fs/filesystem.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <set>

namespace uidnfs::test {
namespace {

using namespace nfs;
using namespace std::chrono_literals;
using Kind = WireFault::Kind;

TEST_F(WireFaults, connection_ends_within_a_reply) {
    struct Calls {
        WireCall first, second;
    };
    const auto cut = [&](SourcePort source, Ending ending, std::uint32_t bytes) {
        unmount();
        parameters.source_port = source;
        client();
        const auto before = wire(Procedure::read).size();
        peer.inject(
            {.kind = Kind::cut_reply,
             .procedure = Procedure::read,
             .bytes = bytes,
             .ending = ending}
        );
        EXPECT_TRUE(read_all() == data_) << bytes;
        const auto calls = wire(Procedure::read);
        EXPECT_EQ(calls.size(), before + 2) << bytes;
        return Calls{calls.at(before), calls.at(before + 1)};
    };
    for (const auto source : {SourcePort::any, SourcePort::reserved}) {
        for (const auto ending : {Ending::fin, Ending::reset}) {
            for (const std::uint32_t bytes : {0u, 2u, 4u, 27u, 130u, 50'000u, 100'100u}) {
                auto calls = cut(source, ending, bytes);
                // Whoever connects in between may be given the port; nobody is three times.
                for (int again = 0; again < 2 && calls.first.port != calls.second.port; ++again)
                    calls = cut(source, ending, bytes);
                EXPECT_EQ(calls.first.xid, calls.second.xid);
                EXPECT_EQ(calls.first.port, calls.second.port);
                EXPECT_NE(calls.first.connection, calls.second.connection);
                EXPECT_EQ(calls.second.seen, WireCall::Seen::again);
            }
        }
    }
}

TEST_F(WireFaults, a_suspended_client_sends_nothing_until_it_is_resumed) {
    file_ = {server.handle("/a")};
    client();
    std::string got;
    for (int round = 0; round < 2; ++round) {
        peer.set_hearing(Hearing::answers_nothing);
        const auto cut = [&] { client().suspend(core::Error(EACCES)); };
        auto done = world.run_all<Done>([&] {
            std::vector<core::Task<Done>> tasks;
            tasks.push_back(read_as_code(got));
            tasks.push_back(later(20ms, cut));
            return tasks;
        }());
        EXPECT_EQ(errno_of(done[0]), EACCES);
        peer.set_hearing(Hearing::normal);
        const auto before = peer.calls().size();
        EXPECT_EQ(code(client().getattr(context, file_.handle)), EACCES);
        client().suspend(core::Error(EPERM));  // again: the reason is the last one
        EXPECT_EQ(code(client().getattr(context, file_.handle)), EPERM);
        world.serve_for(100ms);
        EXPECT_EQ(peer.calls().size(), before);
        client().resume();
        EXPECT_TRUE(read_all() == data_);
        client().resume();
        EXPECT_TRUE(read_all() == data_);
    }
}

TEST_F(WireFaults, a_suspended_client_can_be_shut_down) {
    client().suspend(core::Error(EACCES));
    world.run(shut_down());
    client().resume();  // too late
    EXPECT_EQ(code(client().getattr(context, client().root())), ECONNABORTED);
}

TEST_F(WireFaults, connection_ends_with_many_calls_under_way) {
    const auto big = pattern(4 << 20, 3);
    server.put_file("/big", big);
    server.put_file("/new", "");
    client();
    peer.inject(
        {.kind = Kind::cut_reply,
         .procedure = Procedure::read,
         .bytes = 30'000,
         .skip = 5,
         .times = 3}
    );
    peer.inject(
        {.kind = Kind::drop_call,
         .procedure = Procedure::write,
         .ending = Ending::reset,
         .skip = 4,
         .times = 2}
    );
    const OpenRef source{server.handle("/big")};
    const OpenRef target{server.handle("/new")};
    constexpr std::size_t kPiece = 65536;
    const auto copy = [&](std::uint64_t at) -> core::Task<Done> {
        auto reading = client().read(context, source, at, kPiece);
        auto got = co_await reading;
        if (!got) co_return got.error();
        const std::vector<core::Slice> slices{got->data};
        auto writing = client().write(context, target, at, slices, Stability::file_sync);
        const auto written = co_await writing;
        if (!written) co_return written.error();
        co_return Done(std::size_t{kPiece - written->count});
    };
    std::vector<core::Task<Done>> tasks;
    for (std::uint64_t at = 0; at < big.size(); at += kPiece) tasks.push_back(copy(at));
    for (const auto& done : world.run_all(std::move(tasks))) {
        ASSERT_TRUE(done) << core::to_string(done.error());
        EXPECT_EQ(*done, 0u);
    }
    EXPECT_TRUE(server.content("/new") == big);
    EXPECT_GE(client().status().reconnects, 2u);
}

TEST_F(WireFaults, replies_out_of_order) {
    constexpr std::uint32_t kFiles = 4;
    for (std::uint32_t i = 0; i < kFiles; ++i)
        server.put_file("/f" + std::to_string(i), pattern(20'000 + i, i));
    client();
    peer.inject({.kind = Kind::hold_reply, .procedure = Procedure::read, .bytes = 2});
    peer.inject({.kind = Kind::hold_reply, .procedure = Procedure::read, .bytes = 1});
    std::vector<OpenRef> files;
    for (std::uint32_t i = 0; i < kFiles; ++i)
        files.push_back({server.handle("/f" + std::to_string(i))});
    std::vector<core::Task<core::Result<ReadReply>>> tasks;
    for (const auto& file : files) tasks.push_back(client().read(context, file, 0, 65536));
    const auto replies = world.run_all(std::move(tasks));
    for (std::uint32_t i = 0; i < kFiles; ++i) {
        ASSERT_TRUE(replies[i]);
        EXPECT_TRUE(text_of(replies[i]->data) == pattern(20'000 + i, i)) << i;
    }
    EXPECT_EQ(wire(Procedure::read).size(), kFiles);
}

TEST_F(WireFaults, answers_to_nobody_and_answers_twice_are_ignored) {
    client();
    const auto made = peer.connections_made();
    peer.inject({.kind = Kind::stranger_first, .times = 3});
    peer.inject({.kind = Kind::reply_twice, .times = 3});
    for (int i = 0; i < 7; ++i) EXPECT_TRUE(read_all() == data_);
    EXPECT_EQ(peer.connections_made(), made);
    EXPECT_EQ(wire(Procedure::read).size(), 7u);
}

TEST_F(WireFaults, broken_streams_are_left_and_the_call_is_made_again) {
    client();
    const std::vector<WireFault> faults{
        {.kind = Kind::oversized, .procedure = Procedure::getattr, .bytes = 0x7fff'ffff},
        {.kind = Kind::oversized, .procedure = Procedure::getattr, .bytes = (1 << 20) + 9000},
        {.kind = Kind::call_instead, .procedure = Procedure::getattr},
        {.kind = Kind::endless_fragments, .procedure = Procedure::getattr, .bytes = 2 << 20},
    };
    for (const auto& fault : faults) {
        const auto made = peer.connections_made();
        const auto before = wire(Procedure::getattr).size();
        peer.inject(fault);
        EXPECT_EQ(good(client().getattr(context, server.handle("/a"))), server.attr("/a"));
        EXPECT_EQ(peer.connections_made(), made + 1) << static_cast<int>(fault.kind);
        const auto calls = wire(Procedure::getattr);
        ASSERT_EQ(calls.size(), before + 2);
        EXPECT_EQ(calls[before].xid, calls[before + 1].xid);
    }
}

TEST_F(WireFaults, broken_results_are_an_error_of_one_call) {
    client();
    const auto made = peer.connections_made();
    peer.inject({.kind = Kind::truncated, .procedure = Procedure::read, .bytes = 60});
    EXPECT_EQ(code(client().read(context, {server.handle("/a")}, 0, 1000)), EIO);
    for (const std::uint32_t status : {1u, 2u, 3u, 4u, 5u}) {
        peer.inject(
            {.kind = Kind::accept_status,
             .procedure = Procedure::read,
             .bytes = status,
             .times = status < 4 ? 1u : 3u}
        );
        EXPECT_NE(code(client().read(context, {server.handle("/a")}, 0, 1000)), 0) << status;
    }
    peer.inject({.kind = Kind::auth_error, .procedure = Procedure::read, .bytes = 5});
    EXPECT_EQ(code(client().read(context, {server.handle("/a")}, 0, 1000)), EACCES);
    EXPECT_TRUE(read_all() == data_);
    EXPECT_EQ(peer.connections_made(), made);
}

TEST_F(WireFaults, fragments_and_tiny_writes) {
    const std::vector<Framing> framings{
        {7, 0}, {1000, 0}, {0, 3}, {0, 1460}, {16384, 1001}, {5, 2}};
    for (const auto& framing : framings) {
        unmount();
        peer.set_framing(framing);
        server.put_file("/b", "");
        const std::uint32_t bytes =
            framing.write_bytes > 0 && framing.write_bytes < 10 ? 2000 : 90'000;
        EXPECT_TRUE(read("/a", 5, bytes) == data_.substr(5, bytes)) << framing.fragment_bytes;
        EXPECT_EQ(write("/b", 0, data_).count, data_.size());
        EXPECT_TRUE(server.content("/b") == data_);
        EXPECT_EQ(good(client().lookup(context, client().root(), "a")).attr, server.attr("/a"));
        EXPECT_EQ(peer.connections_open(), 1u);
    }
    EXPECT_EQ(client().status().reconnects, 0u);
}

TEST_F(WireFaults, jukebox_is_asked_again_with_another_xid) {
    client();
    server.inject({.procedure = Procedure::read, .times = 2, .fail = Status::jukebox});
    server.inject({.procedure = Procedure::remove, .fail = Status::jukebox});
    const auto begun_at = Clock::now();
    EXPECT_TRUE(read_all() == data_);
    EXPECT_GE(Clock::now() - begun_at, 290ms);
    EXPECT_EQ(code(client().remove(context, client().root(), "a")), 0);
    std::set<std::uint32_t> xids;
    for (const auto& call : wire(Procedure::read)) xids.insert(call.xid);
    EXPECT_EQ(xids.size(), 3u);
    EXPECT_EQ(wire(Procedure::remove).size(), 2u);
    EXPECT_FALSE(server.exists("/a"));
}

TEST_F(WireFaults, soft_mounts_give_up_in_time) {
    parameters.timeo = 2;
    parameters.retrans = 1;
    for (const auto recovery : {Recovery::soft, Recovery::softerr}) {
        for (const auto hearing : {Hearing::answers_nothing, Hearing::hears_nothing}) {
            unmount();
            parameters.recovery = recovery;
            client();
            peer.set_hearing(hearing);
            const auto begun_at = Clock::now();
            const int expected = recovery == Recovery::soft ? EIO : ETIMEDOUT;
            EXPECT_EQ(code(client().getattr(context, server.handle("/a"))), expected);
            const auto took = Clock::now() - begun_at;
            EXPECT_GE(took, 350ms);
            EXPECT_LT(took, 2s);
            peer.set_hearing(Hearing::normal);
            EXPECT_EQ(code(client().getattr(context, server.handle("/a"))), 0);
        }
    }
}

TEST_F(WireFaults, soft_writes_into_a_full_window_give_up_in_time) {
    parameters.timeo = 4;
    parameters.retrans = 1;
    parameters.recovery = Recovery::soft;
    client();
    peer.set_hearing(Hearing::hears_nothing);
    // Not larger: what is under way when the server hears again comes before what is asked then.
    const auto big = pattern(256 << 10);
    const std::vector<core::Slice> slices{HeapBytes::slice(big)};
    const OpenRef file{server.handle("/a")};
    std::vector<core::Task<core::Result<WriteReply>>> tasks;
    for (std::uint64_t i = 0; i < 32; ++i) {
        tasks.push_back(client().write(context, file, i << 18, slices, Stability::unstable));
    }
    const auto begun_at = Clock::now();
    for (const auto& reply : world.run_all(std::move(tasks))) EXPECT_EQ(errno_of(reply), EIO);
    EXPECT_LT(Clock::now() - begun_at, 5s);
    peer.set_hearing(Hearing::normal);
    EXPECT_EQ(write("/a", 0, "after").count, 5u);
}

TEST_F(WireFaults, hard_mounts_wait_for_a_silent_server) {
    parameters.timeo = 2;
    client();
    file_ = {server.handle("/a")};
    peer.set_hearing(Hearing::answers_nothing);
    std::string got;
    std::vector<core::Task<Done>> tasks;
    tasks.push_back(read_as_code(got));
    tasks.push_back(later(900ms, [&] { peer.set_hearing(Hearing::normal); }));
    const auto begun_at = Clock::now();
    for (const auto& done : world.run_all(std::move(tasks))) EXPECT_EQ(errno_of(done), 0);
    EXPECT_GE(Clock::now() - begun_at, 900ms);
    EXPECT_TRUE(got == data_);
    std::set<std::uint32_t> xids;
    for (const auto& call : wire(Procedure::read)) xids.insert(call.xid);
    EXPECT_EQ(xids.size(), 1u);
    EXPECT_GE(wire(Procedure::read).size(), 2u);
}

TEST_F(WireFaults, hard_mounts_wait_for_a_server_that_restarts) {
    client();
    file_ = {server.handle("/a")};
    peer.set_listening(Listening::no);
    peer.drop_connections(Ending::reset);
    std::string got;
    std::vector<core::Task<Done>> tasks;
    tasks.push_back(read_as_code(got));
    tasks.push_back(later(400ms, [&] { peer.set_listening(Listening::yes); }));
    for (const auto& done : world.run_all(std::move(tasks))) EXPECT_EQ(errno_of(done), 0);
    EXPECT_TRUE(got == data_);
}

TEST_F(WireFaults, answer_lost_on_a_living_connection) {
    parameters.timeo = 2;
    client();
    peer.inject({.kind = Kind::lose_reply, .procedure = Procedure::mkdir});
    EXPECT_EQ(code(client().mkdir(context, client().root(), "d", {})), 0);
    peer.inject({.kind = Kind::silence, .procedure = Procedure::rmdir});
    EXPECT_EQ(code(client().rmdir(context, client().root(), "d")), 0);
    for (const auto procedure : {Procedure::mkdir, Procedure::rmdir}) {
        const auto calls = wire(procedure);
        ASSERT_GE(calls.size(), 2u);
        for (const auto& call : calls) {
            EXPECT_EQ(call.xid, calls[0].xid);
            EXPECT_EQ(call.port, calls[0].port);
        }
    }
    EXPECT_FALSE(server.exists("/d"));
}

TEST_F(WireFaults, shutdown_ends_what_waits) {
    client();
    file_ = {server.handle("/a")};
    peer.set_hearing(Hearing::answers_nothing);
    std::string got;
    const auto end = [&]() -> core::Task<Done> {
        co_await world.reactor.sleep_for(50ms);
        peer.set_hearing(Hearing::normal);
        auto ending = shut_down();
        co_await ending;
        co_return Done(std::size_t{0});
    };
    std::vector<core::Task<Done>> tasks;
    tasks.push_back(read_as_code(got));
    tasks.push_back(end());
    const auto done = world.run_all(std::move(tasks));
    EXPECT_EQ(errno_of(done[0]), ECONNABORTED);
    EXPECT_EQ(peer.mount_calls().back(), "UMNT /export");
}

/// File semantics over TCP: what an application wrote survives the server's crash.
class WireCrash : public WireFaults {
protected:
    void SetUp() override {
        WireFaults::SetUp();
        auto arena = core::Arena::create(fs::Filesystem::arena_regions());
        if (!arena) throw std::runtime_error(core::to_string(arena.error()));
        arena_ = std::make_unique<core::Arena>(std::move(*arena));
        auto& over = client();
        auto options = default_options();
        options.credential = credential;
        fs_ = std::make_unique<fs::Filesystem>(
            fs::Filesystem::Deps{world.reactor, over, *arena_, world.clock, invalidated_},
            options,
            root_attr
        );
        caller_.uid = mapper::ClientUid(kAppUid);
        caller_.gid = mapper::ClientGid(kAppGid);
        caller_.tid = 1;
    }
    void TearDown() override {
        server.forget_faults();
        EXPECT_TRUE(world.run(fs_->drain(Clock::now() + 10s)).empty());
        world.run(shut_down());
        fs_.reset();
        WireFaults::TearDown();
    }
    /// create, write in pieces, close; then the server crashes once more.
    void write_file(std::string_view name, std::string_view data, std::size_t piece) {
        auto made = good(
            fs_->create(caller_, fs::kRootId, std::string(name), S_IFREG | 0644, O_RDWR | O_CREAT)
        );
        for (std::size_t at = 0; at < data.size(); at += piece) {
            const auto part = data.substr(at, piece);
            const auto written = good(
                fs_->write(made.open.open, at, HeapBytes::slice(part), fs::WriteOrigin::application)
            );
            ASSERT_EQ(written, part.size());
        }
        EXPECT_EQ(code(fs_->flush(made.open.open)), 0);
        world.run(fs_->release(made.open.open));
        peer.crash();
        EXPECT_TRUE(server.content("/" + std::string(name)) == data) << name;
    }

    std::unique_ptr<core::Arena> arena_;
    InvalidatorRecorder invalidated_;
    std::unique_ptr<fs::Filesystem> fs_;
    fs::Caller caller_;
};

TEST_F(WireCrash, during_writes) {
    const auto data = pattern(12 << 20, 5);
    for (const unsigned skip : {0u, 1u, 3u, 7u}) {
        server.inject({.procedure = Procedure::write, .skip = skip, .before = [&] { peer.crash(); }}
        );
        write_file("w" + std::to_string(skip), data, 131072);
        server.forget_faults();
    }
    EXPECT_GE(client().status().reconnects, 4u);
}

TEST_F(WireCrash, before_commits) {
    const auto data = pattern(3 << 20, 6);
    server.inject({.procedure = Procedure::commit, .times = 3, .before = [&] { peer.crash(); }});
    write_file("c", data, 65536);
    EXPECT_GE(wire(Procedure::commit).size(), 4u);
}

TEST_F(WireCrash, connections_that_keep_ending) {
    const auto data = pattern(8 << 20, 7);
    peer.inject(
        {.kind = Kind::drop_reply,
         .procedure = Procedure::write,
         .ending = Ending::reset,
         .skip = 1,
         .times = 3}
    );
    peer.inject({.kind = Kind::drop_call, .procedure = Procedure::commit});
    peer.inject({.kind = Kind::drop_reply, .procedure = Procedure::create, .ending = Ending::fin});
    write_file("k", data, 100'000);
}

}  // namespace
}  // namespace uidnfs::test
