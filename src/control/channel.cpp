// SPDX-License-Identifier: Apache-2.0
#include "control/channel.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>

namespace uidnfs::control {
namespace {

using DescriptorSpace = std::byte[CMSG_SPACE(sizeof(int) * Channel::kMaxDescriptors)];

std::vector<core::Fd> take_descriptors(msghdr& header) {
    std::vector<core::Fd> taken;
    for (auto* part = CMSG_FIRSTHDR(&header); part; part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const auto count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            taken.emplace_back(fd);
        }
    }
    return taken;
}

}  // namespace

core::Result<std::pair<Channel, Channel>> Channel::make_pair() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return core::Error(errno);
    }
    return std::pair(Channel(core::Fd(ends[0])), Channel(core::Fd(ends[1])));
}

core::Result<void> Channel::send(const Message& message, std::span<const int> descriptors) const {
    auto bytes = message.encode();
    if (bytes.size() > Message::kMaxBytes) return core::Error(EMSGSIZE);
    iovec part{bytes.data(), bytes.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) DescriptorSpace space{};
    if (!descriptors.empty()) {
        header.msg_control = space;
        header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        auto* control = CMSG_FIRSTHDR(&header);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(control), descriptors.data(), descriptors.size_bytes());
    }
    while (::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno == EINTR) continue;
        return core::Error(errno == ECONNRESET ? EPIPE : errno);
    }
    return {};
}

core::Result<Channel::Received> Channel::receive() const {
    // Thousands of processes ask each other all day with messages of five bytes: only as much of it
    // is touched as there is in the message.
    const auto bytes = std::make_unique_for_overwrite<char[]>(Message::kMaxBytes);
    iovec part{bytes.get(), Message::kMaxBytes};
    alignas(cmsghdr) DescriptorSpace space{};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = space;
    header.msg_controllen = sizeof space;
    ssize_t size = -1;
    do {
        size = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        // ECONNRESET: the peer ended and had not read all of ours. It is told once, and before
        // what the peer still said.
    } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
    if (size < 0) return core::Error(errno);
    // First, or nobody would close them: an empty message may bring some too.
    auto descriptors = take_descriptors(header);
    if (size == 0) return core::Error(EPIPE);
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return core::Error(EPROTO);
    auto message = Message::decode({bytes.get(), static_cast<std::size_t>(size)});
    if (!message) return message.error();
    return Received{std::move(*message), std::move(descriptors)};
}

core::Result<Channel::Received> Channel::receive_until(core::SteadyTime deadline) const {
    using std::chrono::milliseconds;
    for (;;) {
        auto received = receive();
        if (received || received.error().code() != EAGAIN) return received;
        const auto left =
            std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left <= milliseconds(0)) return core::Error(ETIMEDOUT);
        pollfd wait{socket_.get(), POLLIN, 0};
        const auto limit = std::min(left, milliseconds(3'600'000));
        if (::poll(&wait, 1, static_cast<int>(limit.count())) < 0 && errno != EINTR) {
            return core::Error(errno);
        }
    }
}

}  // namespace uidnfs::control
