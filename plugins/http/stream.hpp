// SPDX-License-Identifier: Apache-2.0
// Stream: a connection, whatever is below it: a socket, or TLS on one. Owned by one session, on the
// reactor's thread. At most one read and one write at a time.
#pragma once

#include "core/fd.hpp"
#include "core/reactor.hpp"

#include <boost/system/error_code.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace uidnfs::plugins::http {

class Stream {
public:
    using Done = std::function<void(boost::system::error_code, std::size_t)>;

    virtual ~Stream() = default;
    /// Before anything else.
    virtual void handshake(std::function<void(boost::system::error_code)> done) = 0;
    /// At least one byte; `buffer` stays until `done`.
    virtual void read(std::span<char> buffer, Done done) = 0;
    /// All of `bytes`, which stay until `done`.
    virtual void write(std::span<const char> bytes, Done done) = 0;
    /// No more will be written; the peer may still read what was.
    virtual void finish() = 0;
    /// At once; what waits ends with an error.
    virtual void close() = 0;
    /// Who is at the other end, after the handshake.
    virtual std::string peer() const = 0;
};

/// Certificates of one listener: read once, shared by its streams.
class TlsContext;

/// `family` as in the socket.
std::unique_ptr<Stream> make_plain_stream(core::Reactor& reactor, core::Fd socket, int family);
std::unique_ptr<Stream> make_tls_stream(
    core::Reactor& reactor, core::Fd socket, int family, std::shared_ptr<TlsContext> context
);

}  // namespace uidnfs::plugins::http
