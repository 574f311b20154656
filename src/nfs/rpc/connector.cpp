// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/connector.hpp"

#include "nfs/rpc/status.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace uidnfs::nfs::rpc {
namespace {

// The kernel's own client uses 665..1023; what lies below is for when those are taken.
constexpr std::uint16_t kFirstReserved = 512;
constexpr std::uint16_t kFirstUsual = 665;
constexpr std::uint16_t kLastReserved = 1023;
constexpr std::uint16_t kUsualPorts = kLastReserved - kFirstUsual + 1;
constexpr std::uint16_t kReservedPorts = kLastReserved - kFirstReserved + 1;

std::uint32_t random_number() {
    std::uint32_t value = 0;
    if (::getrandom(&value, sizeof value, 0) != sizeof value) value = 0;
    return value;
}

/// The n-th candidate, beginning anywhere among the usual ones.
std::uint16_t reserved_port(std::uint32_t start, std::uint16_t n) {
    if (n < kUsualPorts) {
        return static_cast<std::uint16_t>(kFirstUsual + (start + n) % kUsualPorts);
    }
    return static_cast<std::uint16_t>(kFirstUsual - 1 - (n - kUsualPorts));
}

void set_option(int fd, int level, int name, int value) {
    // Options that a kernel lacks are not worth failing for.
    (void)::setsockopt(fd, level, name, &value, sizeof value);
}

int whole_seconds(core::SteadyDuration duration, int at_least, int at_most) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
    return static_cast<int>(std::clamp<long long>(seconds, at_least, at_most));
}

void set_options(int fd, const ConnectRequest& request) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, whole_seconds(request.user_timeout / 3, 5, 60));
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, whole_seconds(request.user_timeout / 6, 2, 30));
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    const auto user_timeout =
        std::chrono::duration_cast<std::chrono::milliseconds>(request.user_timeout).count();
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(user_timeout));
    // The port may still be remembered from the connection before this one.
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
}

}  // namespace

std::string to_string(const Endpoint& endpoint) {
    const auto address = endpoint.address().to_string();
    if (endpoint.address().is_v6()) return fmt::format("[{}]:{}", address, endpoint.port());
    return fmt::format("{}:{}", address, endpoint.port());
}

std::string_view why_not_reserved(PortOrigin origin) noexcept {
    switch (origin) {
        case PortOrigin::reserved:
        case PortOrigin::any: return {};
        case PortOrigin::not_permitted:
            return "this process may not bind one (CAP_NET_BIND_SERVICE)";
        case PortOrigin::exhausted: return "all ports from 512 to 1023 are taken";
    }
    return {};
}

bool is_path_dead(int socket, core::SteadyDuration time) noexcept {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
    return info.tcpi_unacked > 0 && std::chrono::milliseconds(info.tcpi_last_ack_recv) >= time;
}

Connector::Connector(core::Reactor& reactor)
    : reactor_(&reactor), watch_(reactor.io()), timer_(reactor.io()) {}

void Connector::start(const ConnectRequest& request, Done done) {
    cancel();
    request_ = request;
    done_ = std::move(done);
    first_port_ = random_number();
    tried_ports_ = 0;
    timer_.expires_after(request.timeout);
    timer_.async_wait(
        [this, self = shared_from_this(), round = round_](const boost::system::error_code& error) {
            if (!error && round == round_) finish(socket_error(ETIMEDOUT));
        }
    );
    // From the loop, so that `done` never runs inside start().
    boost::asio::post(reactor_->io(), [this, self = shared_from_this(), round = round_] {
        if (round == round_) attempt();
    });
}

void Connector::cancel() {
    ++round_;
    timer_.cancel();
    if (watch_.is_open()) watch_.release();
    current_.reset();
    done_ = nullptr;
}

void Connector::finish(core::Result<Connected> result) {
    const auto done = std::move(done_);
    cancel();
    done(std::move(result));
}

bool Connector::bind_port(Connected& connected, std::uint16_t port, int& error) {
    const bool is_v4 = request_.server.protocol() == boost::asio::ip::tcp::v4();
    const Endpoint source(is_v4 ? boost::asio::ip::tcp::v4() : boost::asio::ip::tcp::v6(), port);
    if (::bind(connected.socket.get(), source.data(), static_cast<socklen_t>(source.size())) == 0) {
        connected.local_port = port;
        return true;
    }
    error = errno;
    return false;
}

void Connector::bind_reserved(Connected& connected) {
    int error = EADDRINUSE;
    while (tried_ports_ < kReservedPorts && error == EADDRINUSE) {
        if (bind_port(connected, reserved_port(first_port_, tried_ports_++), error)) {
            connected.origin = PortOrigin::reserved;
            return;
        }
    }
    const bool is_refused = error == EACCES || error == EPERM;
    connected.origin = is_refused ? PortOrigin::not_permitted : PortOrigin::exhausted;
}

core::Result<Connected> Connector::open_socket() {
    const int family = request_.server.protocol().family();
    Connected connected;
    connected.socket =
        core::Fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
    if (!connected.socket) return socket_error(errno);
    set_options(connected.socket.get(), request_);

    if (const auto preferred = std::exchange(request_.preferred_port, std::uint16_t{0})) {
        int error = 0;
        if (bind_port(connected, preferred, error)) {
            connected.origin = preferred <= kLastReserved ? PortOrigin::reserved : PortOrigin::any;
            return connected;
        }
    }
    if (request_.source == SourcePort::reserved) bind_reserved(connected);
    return connected;
}

void Connector::attempt() {
    for (;;) {
        auto opened = open_socket();
        if (!opened) return finish(opened.error());
        current_ = std::move(*opened);
        const int fd = current_->socket.get();
        const int rc =
            ::connect(fd, request_.server.data(), static_cast<socklen_t>(request_.server.size()));
        const int error = rc == 0 ? 0 : errno;
        // Closing must free the port at once: without this a FIN that nobody answers holds it.
        const linger hard{1, 0};
        (void)::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        if (error == 0 || error == EINPROGRESS) return wait_until_writable();
        const bool is_port_taken = error == EADDRNOTAVAIL || error == EADDRINUSE;
        if (!is_port_taken || current_->local_port == 0) return finish(socket_error(error));
        // Another connection to this server has the port; open_socket() goes on to the next, and
        // after the last of them to whichever the kernel chooses.
    }
}

void Connector::wait_until_writable() {
    boost::system::error_code failed;
    watch_.assign(current_->socket.get(), failed);
    if (failed) return finish(socket_error(failed.value()));
    watch_.async_wait(
        boost::asio::posix::stream_descriptor::wait_write,
        [this, self = shared_from_this(), round = round_](const boost::system::error_code& aborted
        ) {
            if (aborted || round != round_) return;
            watch_.release();
            const int fd = current_->socket.get();
            int error = 0;
            socklen_t size = sizeof error;
            if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
            if (error != 0) return finish(socket_error(error));
            Endpoint local;
            socklen_t local_size = static_cast<socklen_t>(local.capacity());
            if (::getsockname(fd, local.data(), &local_size) == 0) {
                current_->local_port = local.port();
            }
            finish(std::move(*current_));
        }
    );
}

}  // namespace uidnfs::nfs::rpc
