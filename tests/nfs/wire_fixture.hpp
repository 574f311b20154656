// SPDX-License-Identifier: Apache-2.0
// What the tests on the wire share: a reactor, an identity, a client towards a Peer, and tasks that
// are run to their end or fail the test after a while.
#pragma once

#include "core/log.hpp"
#include "core/reactor.hpp"
#include "core/task.hpp"
#include "nfs/rpc/ask.hpp"
#include "nfs/rpc/transport.hpp"
#include "nfs/v3/client.hpp"
#include "peer.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

namespace uidnfs::test {

using namespace std::chrono_literals;

inline mapper::CredentialRef test_credential() {
    auto made = mapper::Credential::make(
        {mapper::ServerUid(1001), mapper::ServerGid(1002), {mapper::ServerGid(7)}}, "client"
    );
    return std::move(made.value());
}

inline nfs::FileHandle handle_of(std::string_view text) {
    return nfs::FileHandle(std::as_bytes(std::span(text.data(), text.size())));
}

/// Payload of which every byte says where it belongs.
inline std::string pattern(std::size_t bytes, unsigned seed = 1) {
    std::string out(bytes, '\0');
    auto x = seed * 2654435761u + 1;
    for (auto& c : out) {
        x = x * 1664525 + 1013904223;
        c = static_cast<char>(x >> 24);
    }
    return out;
}

inline std::string text_of(const core::Slice& slice) {
    return {reinterpret_cast<const char*>(slice.data()), slice.size()};
}

/// Memory that a test owns and slices point into.
class OwnedMemory final : public core::SharedMemory {
public:
    explicit OwnedMemory(std::string text) : text_(std::move(text)) { retain(); }
    core::Slice slice(std::size_t offset, std::size_t bytes) {
        return {*this, reinterpret_cast<const std::byte*>(text_.data()) + offset, bytes};
    }
    core::Slice all() { return slice(0, text_.size()); }

private:
    void recycle() noexcept override {}
    std::string text_;
};

/// Collects what is logged while it lives.
class LogCapture {
public:
    LogCapture() {
        char name[] = "/tmp/uidnfs-test-log-XXXXXX";
        const core::Fd fd(::mkstemp(name));
        file_ = name;
        core::log::Options options;
        options.destination = core::log::Destination::file;
        options.file = file_;
        (void)core::log::configure(options);
    }
    LogCapture(const LogCapture&) = delete;
    LogCapture& operator=(const LogCapture&) = delete;
    ~LogCapture() {
        (void)core::log::configure({});
        ::unlink(file_.c_str());
    }
    std::string text() const {
        std::ifstream in(file_);
        std::stringstream out;
        out << in.rdbuf();
        return out.str();
    }
    std::size_t count(std::string_view line) const {
        const auto all = text();
        std::size_t n = 0;
        for (auto at = all.find(line); at != std::string::npos; at = all.find(line, at + 1)) ++n;
        return n;
    }

private:
    std::string file_;
};

class WireTest : public ::testing::Test {
protected:
    template <class T>
    T run(core::Task<T> task) {
        std::optional<T> result;
        core::spawn(keep(std::move(task), result));
        run_until([&] { return result.has_value(); });
        return std::move(*result);
    }
    void run(core::Task<void> task) {
        bool is_done = false;
        core::spawn(note(std::move(task), is_done));
        run_until([&] { return is_done; });
    }
    void run_until(const std::function<bool()>& done, std::chrono::milliseconds limit = 20s) {
        boost::asio::steady_timer guard(reactor_.io());
        guard.expires_after(limit);
        // Its handler may run after this function has ended.
        const auto is_late = std::make_shared<bool>(false);
        guard.async_wait([is_late](const boost::system::error_code& error) { *is_late = !error; });
        reactor_.run_until([&] { return *is_late || done(); });
        if (*is_late && !done()) throw std::runtime_error("nothing happened for too long");
    }
    void run_for(std::chrono::milliseconds time) {
        const auto until = std::chrono::steady_clock::now() + time;
        boost::asio::steady_timer guard(reactor_.io());
        guard.expires_after(time);
        guard.async_wait([](const boost::system::error_code&) {});
        reactor_.run_until([&] { return std::chrono::steady_clock::now() >= until; });
    }

    nfs::rpc::TransportOptions options_for(std::uint16_t port) const {
        nfs::rpc::TransportOptions options;
        options.server_name = "nas1";
        options.connection.server =
            nfs::rpc::Endpoint(boost::asio::ip::make_address("127.0.0.1"), port);
        options.connection.source = nfs::SourcePort::any;
        return options;
    }
    std::unique_ptr<nfs::v3::Client3> client_for(const nfs::rpc::TransportOptions& options) {
        nfs::v3::Client3::Deps deps;
        deps.transport = std::make_unique<nfs::rpc::Transport>(reactor_, options);
        deps.root = handle_of("root");
        return std::make_unique<nfs::v3::Client3>(std::move(deps));
    }
    std::unique_ptr<nfs::v3::Client3> client_for(const Peer& peer) {
        return client_for(options_for(peer.port()));
    }

    /// The rest of the loop, so that closed connections are let go of.
    void settle() { run_for(1ms); }

    core::Reactor reactor_;
    mapper::CredentialRef credential_ = test_credential();
    nfs::CallContext context_{credential_};

private:
    template <class T>
    static core::Task<void> keep(core::Task<T> task, std::optional<T>& result) {
        result.emplace(co_await task);
    }
    static core::Task<void> note(core::Task<void> task, bool& is_done) {
        co_await task;
        is_done = true;
    }
};

}  // namespace uidnfs::test
