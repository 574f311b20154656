// SPDX-License-Identifier: Apache-2.0
#include "app/control.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace uidnfs::app {
namespace {

constexpr const char* kRunDirectory = "/run/uidnfs";

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return address;
}

core::Result<void> make_directory() {
    if (::mkdir(kRunDirectory, 0755) != 0 && errno != EEXIST) return core::Error(errno);
    if (::mkdir(kControlDirectory, 0700) != 0 && errno != EEXIST) return core::Error(errno);
    const core::Fd directory(
        ::open(kControlDirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    );
    if (!directory) return core::Error(errno);
    struct stat info {};
    if (::fstat(directory.get(), &info) != 0) return core::Error(errno);
    if (info.st_uid != ::geteuid() || (info.st_mode & 077) != 0) return core::Error(EPERM);
    return {};
}

}  // namespace

std::string control_path(std::uint32_t minor) {
    return fmt::format("{}/{}.sock", kControlDirectory, minor);
}

core::Result<ControlSocket> ControlSocket::listen(std::uint32_t minor) {
    if (const auto made = make_directory(); !made) return made.error();
    core::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return core::Error(errno);
    const auto path = control_path(minor);
    const auto address = address_of(path);
    // The minor number is ours now: what is there was left by a keeper that was killed.
    ::unlink(path.c_str());
    const auto mask = ::umask(0177);
    const int bound =
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int reason = errno;
    ::umask(mask);
    if (bound != 0) return core::Error(reason);
    ControlSocket result(std::move(socket), path);
    if (::listen(result.fd(), 8) != 0) return core::Error(errno);
    return result;
}

ControlSocket::~ControlSocket() {
    if (socket_) ::unlink(path_.c_str());
}

std::optional<Channel> ControlSocket::accept() const {
    core::Fd caller(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!caller) return std::nullopt;
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(caller.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
    if (peer.uid != 0 && peer.uid != ::geteuid()) return std::nullopt;
    return Channel(std::move(caller));
}

core::Result<Channel> send_to_keeper(std::uint32_t minor, const Message& request) {
    core::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!socket) return core::Error(errno);
    // A keeper that is stopped accepts nobody; connect(2) must not wait for it for ever.
    const timeval limit{0, 500'000};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const auto address = address_of(control_path(minor));
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return core::Error(errno);
    }
    Channel channel(std::move(socket));
    if (const auto sent = channel.send(request); !sent) return sent.error();
    return channel;
}

core::Result<Message> ask_keeper(
    std::uint32_t minor, const Message& request, core::SteadyTime deadline
) {
    const auto channel = send_to_keeper(minor, request);
    if (!channel) return channel.error();
    auto received = channel->receive_until(deadline);
    if (!received) return received.error();
    return std::move(received->message);
}

}  // namespace uidnfs::app
