// SPDX-License-Identifier: Apache-2.0
// Peer: a server that does what a test tells it, byte by byte, on a thread of its own with plain
// blocking sockets. A script that waits too long or sees what it did not expect throws; finish()
// tells the test.
#pragma once

#include "core/fd.hpp"
#include "xdr_writer.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

namespace uidnfs::test {

/// A call as it came over the wire.
struct WireCall {
    std::uint32_t xid = 0;
    std::uint32_t program = 0;
    std::uint32_t version = 0;
    std::uint32_t procedure = 0;
    ByteVector credential;  ///< cred and verf
    ByteVector arguments;
};

/// One accepted connection.
class Conversation {
public:
    Conversation(core::Fd socket, std::uint16_t client_port)
        : socket_(std::move(socket)), client_port_(client_port) {}

    std::uint16_t client_port() const { return client_port_; }

    WireCall read_call();
    /// So many bytes of the stream, whatever they are.
    ByteVector read_bytes(std::size_t count);
    /// True when the client closes within the time; false when it stays; throws when it sends.
    bool is_closed_within(std::chrono::milliseconds time);
    /// False when nothing comes within the time.
    bool has_input_within(std::chrono::milliseconds time);

    void send(const ByteVector& bytes);
    /// An accepted reply with these results, as one record.
    void reply(const WireCall& call, const ByteVector& results);
    /// RST.
    void reset();

private:
    core::Fd socket_;
    std::uint16_t client_port_;
};

/// A record of one fragment.
ByteVector record(const ByteVector& body);
/// A fragment; `last` as in the mark of RFC 5531 section 11.
enum class Last { no, yes };
ByteVector fragment(const ByteVector& body, Last last);
/// An accepted reply without record mark.
ByteVector accepted(std::uint32_t xid, const ByteVector& results);

class Peer {
public:
    using Script = std::function<void(Peer&)>;

    /// Listens on 127.0.0.1 at once, on a port of its own unless told which.
    explicit Peer(Script script, std::uint16_t port = 0);
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    ~Peer();

    std::uint16_t port() const { return port_; }
    /// For the script: the next connection.
    Conversation accept();
    /// Waits for the script to end; empty when all went as expected.
    std::string finish();

private:
    core::Fd listener_;
    std::uint16_t port_ = 0;
    std::string problem_;
    std::thread thread_;
};

/// A port on which nobody listens.
std::uint16_t closed_port();

}  // namespace uidnfs::test
