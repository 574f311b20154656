// SPDX-License-Identifier: Apache-2.0
// Connector: makes one TCP connection with the socket options that a mount needs: a reserved source
// port where permitted, the same source port again after a loss (the server's duplicate request
// cache knows us by it), no delay, keepalive, and a close that leaves no trace behind a black hole.
// Owned by a Connection; reactor's thread only.
#pragma once

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"
#include "core/reactor.hpp"
#include "nfs/mount.hpp"
#include "nfs/rpc/endpoint.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

namespace uidnfs::nfs::rpc {

/// How a source port was come by.
enum class PortOrigin : std::uint8_t {
    reserved,
    any,            ///< as asked
    not_permitted,  ///< a reserved port was asked for, and refused by the system
    exhausted,      ///< a reserved port was asked for, and none is free
};

/// Why it is none, for the log; empty where nothing is to be said.
std::string_view why_not_reserved(PortOrigin origin) noexcept;

/// Bytes wait that the peer's TCP has not acknowledged, and for `time` nothing at all came from it.
bool is_path_dead(int socket, core::SteadyDuration time) noexcept;

struct ConnectRequest {
    Endpoint server;
    SourcePort source = SourcePort::reserved;
    std::uint16_t preferred_port = 0;  ///< tried first; 0: none
    core::SteadyDuration timeout{};
    core::SteadyDuration user_timeout{};  ///< unacknowledged bytes for so long: the peer is gone
};

struct Connected {
    core::Fd socket;  ///< non-blocking
    std::uint16_t local_port = 0;  ///< until it is connected: the one it was bound to, if any
    PortOrigin origin = PortOrigin::any;
};

/// Held by shared_ptr: what waits in the loop keeps it alive.
class Connector : public std::enable_shared_from_this<Connector> {
public:
    using Done = std::function<void(core::Result<Connected>)>;

    explicit Connector(core::Reactor& reactor);
    Connector(const Connector&) = delete;
    Connector& operator=(const Connector&) = delete;

    /// `done` is called once, from the loop, unless cancel() comes first. Errors are those of
    /// connect(2); ETIMEDOUT after request.timeout.
    void start(const ConnectRequest& request, Done done);
    void cancel();

private:
    void attempt();
    core::Result<Connected> open_socket();
    bool bind_port(Connected& connected, std::uint16_t port, int& error);
    void bind_reserved(Connected& connected);
    void wait_until_writable();
    void finish(core::Result<Connected> result);

    core::Reactor* reactor_;
    boost::asio::posix::stream_descriptor watch_;
    boost::asio::steady_timer timer_;
    ConnectRequest request_;
    Done done_;
    std::optional<Connected> current_;
    std::uint32_t first_port_ = 0;  // where among the reserved ports the search begins
    std::uint16_t tried_ports_ = 0;
    std::uint64_t round_ = 0;  // handlers of an earlier start() are too late
};

}  // namespace uidnfs::nfs::rpc
