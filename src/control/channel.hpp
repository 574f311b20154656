// SPDX-License-Identifier: Apache-2.0
// Channel: messages and descriptors over a SOCK_SEQPACKET socket between two of our processes.
// Owned by one thread. It never blocks in sending: a peer that does not read loses the message.
#pragma once

#include "control/message.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"

#include <span>
#include <utility>
#include <vector>

namespace uidnfs::control {

class Channel {
public:
    static constexpr std::size_t kMaxDescriptors = 4;

    struct Received {
        Message message;
        std::vector<core::Fd> descriptors;

        /// The descriptors as send() wants them; they stay here.
        std::vector<int> numbers() const {
            std::vector<int> all;
            for (const auto& each : descriptors) all.push_back(each.get());
            return all;
        }
    };

    explicit Channel(core::Fd socket) noexcept : socket_(std::move(socket)) {}

    /// Two ends, close-on-exec. Errors: errno of socketpair(2).
    static core::Result<std::pair<Channel, Channel>> make_pair();

    int fd() const noexcept { return socket_.get(); }
    void close() noexcept { socket_.reset(); }
    bool is_open() const noexcept { return static_cast<bool>(socket_); }

    /// REQUIRES: descriptors.size() <= kMaxDescriptors. EPIPE: the peer is gone; EAGAIN: it does
    /// not read; EMSGSIZE: too long.
    core::Result<void> send(const Message& message, std::span<const int> descriptors = {}) const;
    /// One message without waiting. EAGAIN: none is there; EPIPE: the peer is gone; EPROTO: not
    /// ours.
    core::Result<Received> receive() const;
    /// As receive(), waits until `deadline`: then ETIMEDOUT.
    core::Result<Received> receive_until(core::SteadyTime deadline) const;

private:
    core::Fd socket_;
};

}  // namespace uidnfs::control
