// SPDX-License-Identifier: Apache-2.0
#include "ldap/socket.hpp"

#include "ldap/server_choice.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace uidnfs::ldap {
namespace {

using std::chrono::steady_clock;

/// How soon a wait notices that the service stops.
constexpr std::chrono::milliseconds kSlice{50};

/// How long what was sent may go without an acknowledgement: whoever is slow acknowledges. A
/// connection that a firewall forgot while it was idle ends by it, in time for another one; two
/// packets may be lost meanwhile.
std::chrono::milliseconds longest_silence(core::SteadyTime deadline) {
    constexpr std::chrono::milliseconds kLeast{500};
    const auto left = deadline - steady_clock::now();
    return std::max(kLeast, std::chrono::duration_cast<std::chrono::milliseconds>(left / 3));
}

void set_option(int fd, int level, int name, int value) {
    ::setsockopt(fd, level, name, &value, sizeof value);
}

/// 0 or an errno.
int wait_connected(int fd, core::SteadyTime deadline, const std::stop_token& stop) {
    while (true) {
        if (stop.stop_requested()) return ECANCELED;
        const auto left = deadline - steady_clock::now();
        if (left <= left.zero()) return ETIMEDOUT;
        const auto slice = std::min<core::SteadyDuration>(left, kSlice);
        pollfd waiting{fd, POLLOUT, 0};
        const int ready = ::poll(
            &waiting,
            1,
            static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(slice).count())
        );
        if (ready < 0 && errno != EINTR) return errno;
        if (ready <= 0) continue;
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        return error;
    }
}

core::Outcome<core::Fd> connect_address(
    const sockaddr* address, socklen_t size, core::SteadyTime deadline, const std::stop_token& stop
) {
    core::Fd fd(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return core::Failure{errno, std::strerror(errno)};
    int error = ::connect(fd.get(), address, size) == 0 ? 0 : errno;
    if (error == EINPROGRESS) error = wait_connected(fd.get(), deadline, stop);
    if (error != 0) return core::Failure{error, strerrordesc_np(error)};
    // What waits from here on is ended by shutdown(2) at the deadline, see alarms.hpp.
    const int flags = ::fcntl(fd.get(), F_GETFL);
    ::fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK);
    return fd;
}

core::Outcome<ConnectedSocket> connect_local(
    const ServerUrl& server, core::SteadyTime deadline, const std::stop_token& stop
) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (server.path.size() >= sizeof address.sun_path) {
        return core::Failure{ENAMETOOLONG, "the path of the socket is too long"};
    }
    server.path.copy(address.sun_path, server.path.size());
    auto fd = connect_address(
        reinterpret_cast<const sockaddr*>(&address), sizeof address, deadline, stop
    );
    if (!fd) return fd.error();
    return ConnectedSocket{std::move(*fd), ConnectedSocket::Peer::local};
}

}  // namespace

core::Outcome<ConnectedSocket> connect_to(
    const ServerUrl& server, Names& names, core::SteadyTime deadline, std::stop_token stop
) {
    if (server.scheme == ServerUrl::Scheme::ldapi) return connect_local(server, deadline, stop);
    const auto addresses = names.resolve(server.host, server.port, deadline, stop);
    if (!addresses) return addresses.error();
    core::Failure last{ENOENT, fmt::format("{} has no address", server.host)};
    std::size_t left = addresses->size();
    for (const auto& address : *addresses) {
        const auto until = ServerChoice::share(steady_clock::now(), deadline, left--);
        auto fd = connect_address(
            reinterpret_cast<const sockaddr*>(&address.storage), address.size, until, stop
        );
        if (!fd) {
            last = {
                fd.error().code, fmt::format("{}: {}", address.display(), fd.error().user_text)};
            if (last.code == ECANCELED) break;
            continue;
        }
        set_option(fd->get(), IPPROTO_TCP, TCP_NODELAY, 1);
        set_option(fd->get(), SOL_SOCKET, SO_KEEPALIVE, 1);
        const auto silence = static_cast<int>(longest_silence(deadline).count());
        set_option(fd->get(), IPPROTO_TCP, TCP_USER_TIMEOUT, silence);
        const auto peer =
            address.is_loopback() ? ConnectedSocket::Peer::local : ConnectedSocket::Peer::remote;
        return ConnectedSocket{std::move(*fd), peer};
    }
    return last;
}

}  // namespace uidnfs::ldap
