// SPDX-License-Identifier: Apache-2.0
// RpcConnection: one accepted TCP connection of the test's RPC peer: records in, records out, with all
// the ways in which a network may cut them. Owned by RpcPeer; peer's thread only.
#pragma once

#include "core/fd.hpp"
#include "support/xdr.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace uidnfs::test {

/// How records are put on the wire; 0 means whole.
struct Framing {
    std::uint32_t fragment_bytes = 0;  ///< of each record-marking fragment (RFC 5531 section 11)
    std::uint32_t write_bytes = 0;     ///< of each write(2), each its own segment
};

enum class Ending : std::uint8_t { fin, reset };

class RpcConnection {
public:
    RpcConnection(core::Fd socket, std::uint64_t id, std::uint16_t port);

    int fd() const noexcept { return socket_.get(); }
    std::uint64_t id() const noexcept { return id_; }
    /// The peer's source port.
    std::uint16_t port() const noexcept { return port_; }

    enum class State : std::uint8_t { open, closed };
    /// Reads what is there; complete records are appended to `records`.
    State receive(std::vector<Bytes>& records);
    State send();
    bool wants_to_send() const noexcept { return !out_.empty(); }

    void queue_record(const Bytes& body, const Framing& framing);
    /// Bytes as they are, without a record mark.
    void queue_raw(Bytes bytes, const Framing& framing);
    /// After everything queued so far is sent.
    void end_after_sending(Ending ending) { ending_ = ending; }
    void end_now(Ending ending);

private:
    struct Chunk {
        Bytes bytes;
        std::uint32_t write_bytes;
        std::size_t sent = 0;
    };

    core::Fd socket_;
    std::uint64_t id_;
    std::uint16_t port_;
    Bytes in_;
    Bytes record_;  ///< fragments so far
    std::deque<Chunk> out_;
    std::optional<Ending> ending_;
};

/// A record as its fragments lie on the wire.
Bytes frame(const Bytes& body, std::uint32_t fragment_bytes);

}  // namespace uidnfs::test
