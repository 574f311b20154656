// SPDX-License-Identifier: Apache-2.0
// The fixture of the tests over TCP: the server in memory behind an RpcPeer on 127.0.0.1, and the
// real client mounted on it. At the end of each test everything that came over the wire is looked
// at: in whose name it was asked, and whether a correct client would have sent it.
#pragma once

#include "core/log.hpp"
#include "fs/fixture.hpp"
#include "nfs/mount.hpp"
#include "support/heap_bytes.hpp"
#include "support/rpc_peer.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace uidnfs::test {

/// Bytes of which each says where it belongs.
inline std::string pattern(std::size_t bytes, std::uint32_t seed = 1) {
    std::string out(bytes, '\0');
    std::uint32_t state = seed * 2654435761u + 12345u;
    for (auto& byte : out) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        byte = static_cast<char>(state >> 11);
    }
    return out;
}

inline std::string text_of(const core::Slice& slice) {
    return {reinterpret_cast<const char*>(slice.data()), slice.size()};
}

class WireFsTest : public ::testing::Test {
protected:
    explicit WireFsTest(Behaviour behaviour = {})
        : world(behaviour), server(world.server), peer(server) {}

    void SetUp() override {
        core::log::set_level(core::log::Level::off);
        parameters.port = peer.nfs_port();
        parameters.mount_port = peer.mount_port();
        parameters.source_port = nfs::SourcePort::any;
    }

    void TearDown() override {
        peer.set_hearing(Hearing::normal);
        peer.set_listening(Listening::yes);
        unmount();
        for (const auto& violation : peer.violations()) ADD_FAILURE() << violation;
        for (const auto& call : peer.calls()) {
            EXPECT_EQ(call.who, identity) << "program " << call.program << " procedure "
                                          << call.procedure << " as " << call.who.uid;
            EXPECT_EQ(call.machine, "test");
        }
    }

    /// Mounts with `parameters` on first use.
    nfs::Client& client() {
        if (!client_) {
            auto mounted = world.run(
                nfs::mount_export(world.reactor, {"127.0.0.1", "/export"}, parameters, credential)
            );
            if (!mounted) throw std::runtime_error(mounted.error().user_text);
            root_attr = mounted->root_attr;
            root_access = mounted->root_access;
            client_ = std::move(mounted->client);
            life_ = Life::running;
        }
        return *client_;
    }
    /// Once for each client.
    core::Task<void> shut_down() {
        life_ = Life::ended;
        return client_->shutdown(context);
    }
    void unmount() {
        if (!client_) return;
        if (life_ == Life::running) world.run(shut_down());
        client_.reset();
        world.serve_for(std::chrono::milliseconds(2));  // closed connections are let go of
    }

    template <class T>
    core::Result<T> run(core::Task<core::Result<T>> task) {
        return world.run(std::move(task));
    }
    /// The value; throws when there is none.
    template <class T>
    T good(core::Task<core::Result<T>> task) {
        auto result = world.run(std::move(task));
        if (!result) throw std::runtime_error(core::to_string(result.error()));
        return std::move(*result);
    }
    /// 0 for success.
    template <class T>
    int code(core::Task<core::Result<T>> task) {
        return errno_of(world.run(std::move(task)));
    }

    std::string read(std::string_view path, std::uint64_t offset, std::uint32_t count) {
        return text_of(good(client().read(context, {server.handle(path)}, offset, count)).data);
    }
    nfs::WriteReply write(
        std::string_view path,
        std::uint64_t offset,
        std::string_view data,
        nfs::Stability stability = nfs::Stability::unstable
    ) {
        const std::vector<core::Slice> slices{HeapBytes::slice(data)};
        return good(client().write(context, {server.handle(path)}, offset, slices, stability));
    }

    /// NFS calls of one procedure as they came, replays included.
    std::vector<WireCall> wire(Procedure procedure) const {
        std::vector<WireCall> out;
        for (const auto& call : peer.calls()) {
            const bool is_it = call.program == kNfsProgram &&
                               call.procedure == static_cast<std::uint32_t>(procedure);
            if (is_it) out.push_back(call);
        }
        return out;
    }

    World world;
    MemoryServer& server;
    RpcPeer peer;
    nfs::MountParameters parameters;
    const Identity identity{kUid, kGid, {7, 8, 4242}};
    const mapper::CredentialRef credential = credential_of(kUid, kGid, {7, 8, 4242});
    const nfs::CallContext context{credential};
    nfs::Attr root_attr;
    nfs::AccessBits root_access = 0;

private:
    std::unique_ptr<nfs::Client> client_;
    enum class Life : std::uint8_t { running, ended } life_ = Life::running;
};

}  // namespace uidnfs::test
