// SPDX-License-Identifier: Apache-2.0
#include "support/rpc_connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace uidnfs::test {
namespace {

constexpr std::uint32_t kLastFragment = 0x8000'0000;
constexpr std::size_t kReceiveBytes = 256 * 1024;
constexpr std::size_t kMarkBytes = 4;

}  // namespace

Bytes frame(const Bytes& body, std::uint32_t fragment_bytes) {
    const std::size_t most = fragment_bytes == 0 ? body.size() : fragment_bytes;
    Bytes out;
    std::size_t done = 0;
    do {
        const auto length = std::min(most, body.size() - done);
        const bool last = done + length == body.size();
        XdrWriter mark;
        mark.u32(static_cast<std::uint32_t>(length) | (last ? kLastFragment : 0));
        out.insert(out.end(), mark.bytes().begin(), mark.bytes().end());
        const auto begin = body.begin() + static_cast<std::ptrdiff_t>(done);
        out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(length));
        done += length;
    } while (done < body.size());
    return out;
}

RpcConnection::RpcConnection(core::Fd socket, std::uint64_t id, std::uint16_t port)
    : socket_(std::move(socket)), id_(id), port_(port) {
    const int on = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

RpcConnection::State RpcConnection::receive(std::vector<Bytes>& records) {
    const auto before = in_.size();
    in_.resize(before + kReceiveBytes);
    const auto got = ::recv(socket_.get(), in_.data() + before, kReceiveBytes, MSG_DONTWAIT);
    in_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return State::closed;
    std::size_t used = 0;
    while (in_.size() - used >= kMarkBytes) {
        const std::span<const std::byte> received(in_);
        const auto mark = XdrReader(received.subspan(used, kMarkBytes)).u32();
        const std::size_t length = mark & ~kLastFragment;
        if (in_.size() - used - kMarkBytes < length) break;
        const auto begin = in_.begin() + static_cast<std::ptrdiff_t>(used + kMarkBytes);
        record_.insert(record_.end(), begin, begin + static_cast<std::ptrdiff_t>(length));
        used += kMarkBytes + length;
        if (mark & kLastFragment) records.push_back(std::exchange(record_, {}));
    }
    in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(used));
    return State::open;
}

RpcConnection::State RpcConnection::send() {
    while (!out_.empty()) {
        auto& chunk = out_.front();
        auto length = chunk.bytes.size() - chunk.sent;
        if (chunk.write_bytes > 0) length = std::min<std::size_t>(length, chunk.write_bytes);
        const auto sent = ::send(
            socket_.get(), chunk.bytes.data() + chunk.sent, length, MSG_DONTWAIT | MSG_NOSIGNAL
        );
        if (sent < 0) return errno == EAGAIN || errno == EINTR ? State::open : State::closed;
        chunk.sent += static_cast<std::size_t>(sent);
        const bool trickles = chunk.write_bytes > 0;
        if (chunk.sent == chunk.bytes.size()) out_.pop_front();
        if (trickles && !out_.empty()) return State::open;  // the rest in another round
    }
    if (!ending_) return State::open;
    end_now(*ending_);
    return State::closed;
}

void RpcConnection::queue_record(const Bytes& body, const Framing& framing) {
    queue_raw(frame(body, framing.fragment_bytes), framing);
}

void RpcConnection::queue_raw(Bytes bytes, const Framing& framing) {
    if (ending_) return;
    out_.push_back({std::move(bytes), framing.write_bytes});
}

void RpcConnection::end_now(Ending ending) {
    if (ending == Ending::reset) {
        const linger abort{1, 0};
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    }
    socket_.reset();
}

}  // namespace uidnfs::test
