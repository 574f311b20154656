// SPDX-License-Identifier: Apache-2.0
#include "control/door.hpp"

#include "control/process_facts.hpp"
#include "control/socket.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace uidnfs::control {

core::Result<Behind> knock(
    const std::string& path, std::uint32_t uid, const std::string& mountpoint
) {
    core::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return core::Error(errno);
    const auto address = address_of(path);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return core::Error(errno);
    }
    const auto peer = credentials_of(socket.get());
    if (!peer) return peer.error();
    auto pidfd = open_pidfd(peer->pid);
    if (!pidfd) return core::Error(EAGAIN);  // the keeper that was killed
    const bool is_worker =
        peer->uid == uid && has_role(static_cast<std::uint32_t>(peer->pid), "worker", mountpoint);
    // Only of a process that lives is it known that it was the one that was looked at.
    pollfd wait{pidfd->get(), POLLIN, 0};
    if (::poll(&wait, 1, 0) != 0) return core::Error(EAGAIN);
    if (!is_worker) return core::Error(EPERM);
    return Behind{Channel(std::move(socket)), Child(peer->pid, std::move(*pidfd))};
}

}  // namespace uidnfs::control
