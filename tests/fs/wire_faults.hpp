// SPDX-License-Identifier: Apache-2.0
// The fixture of the tests about what networks and servers do to the client.
#pragma once

#include "fs/wire_fixture.hpp"

#include <unistd.h>

#include <chrono>
#include <functional>
#include <string>

namespace uidnfs::test {

class WireFaults : public WireFsTest {
protected:
    using Clock = std::chrono::steady_clock;
    using Done = core::Result<std::size_t>;

    void SetUp() override {
        WireFsTest::SetUp();
        // Any other may be given to whoever connects just when it is wanted again.
        if (::geteuid() == 0) parameters.source_port = nfs::SourcePort::reserved;
        server.put_file("/a", data_);
    }
    std::string read_all() { return read("/a", 0, static_cast<std::uint32_t>(data_.size())); }

    /// Both transmissions of the only call of a procedure: one xid, one source port, two
    /// connections.
    void expect_replayed(Procedure procedure) {
        const auto calls = wire(procedure);
        ASSERT_EQ(calls.size(), 2u);
        EXPECT_EQ(calls[0].xid, calls[1].xid);
        EXPECT_EQ(calls[0].port, calls[1].port);
        EXPECT_NE(calls[0].connection, calls[1].connection);
    }
    /// After `time` of the reactor's.
    core::Task<Done> later(std::chrono::milliseconds time, std::function<void()> work) {
        co_await world.reactor.sleep_for(time);
        work();
        co_return Done(std::size_t{0});
    }
    core::Task<Done> read_as_code(std::string& got) {
        auto reading = client().read(context, file_, 0, static_cast<std::uint32_t>(data_.size()));
        const auto reply = co_await reading;
        if (!reply) co_return reply.error();
        got = text_of(reply->data);
        co_return Done(std::size_t{0});
    }

    const std::string data_ = pattern(100'000);
    nfs::OpenRef file_;
    const nfs::Verifier no_verifier_{};
};

}  // namespace uidnfs::test
