// SPDX-License-Identifier: Apache-2.0
// What arrives on a connection: bytes, into memory or a pipe, the records in them, and the replies
// to waiting calls.
#include "nfs/rpc/connection.hpp"
#include "nfs/rpc/status.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <utility>

namespace uidnfs::nfs::rpc {
namespace {

/// After so much of one socket, others of the reactor have their turn.
constexpr std::size_t kReceiveTurnBytes = 8u << 20;
constexpr int kReceiveTurns = 64;

/// A stream that lost its beat can claim any length, and not this often of the same call.
constexpr std::uint32_t kMostTooLongReplies = 3;

}  // namespace

void Connection::wait_readable() {
    socket_.async_wait(
        boost::asio::posix::stream_descriptor::wait_read,
        [self = shared_from_this(), mine = generation_](const boost::system::error_code& error) {
            if (error || mine != self->generation_) return;
            self->shared_->reactor->turn([&] { self->on_readable(); });
        }
    );
}

void Connection::on_readable() {
    const auto mine = generation_;
    const auto now = std::chrono::steady_clock::now();
    const auto begun_at = shared_->traffic.bytes_received;
    for (int turn = 0; turn < kReceiveTurns; ++turn) {
        const auto then = receive_some(now);
        // Not at the end of the turn: their readers ask for more while the rest arrives.
        resume_finished();
        if (mine != generation_ || then == Then::lost) return;
        if (then == Then::wait) break;
        if (shared_->traffic.bytes_received - begun_at >= kReceiveTurnBytes) break;
    }
    wait_readable();
}

Connection::Then Connection::receive_to_pipe(core::SteadyTime now) {
    const auto& pipe = *reader_.pipe();
    const auto received = ::splice(
        socket_.native_handle(),
        nullptr,
        pipe.in.get(),
        nullptr,
        reader_.missing(),
        SPLICE_F_NONBLOCK
    );
    if (received > 0) {
        note_received(static_cast<std::size_t>(received), now);
        reader_.piped(static_cast<std::size_t>(received));
        // Less than asked for does not mean that nothing is left.
        return take_records(now);
    }
    if (received == 0) return end_of_stream();
    const int code = errno;
    if (code == EINTR) return Then::go_on;
    if (code == EAGAIN && !pipe.is_full()) return Then::wait;
    if (code == EAGAIN || code == EINVAL || code == ENOMEM) {
        reader_.leave_pipe();  // full, or not to be had from this socket
        return Then::go_on;
    }
    lose(socket_error(code));
    return Then::lost;
}

Connection::Then Connection::end_of_stream() {
    lose(socket_error(ECONNRESET));
    return Then::lost;
}

void Connection::note_received(std::size_t bytes, core::SteadyTime now) noexcept {
    shared_->traffic.bytes_received += bytes;
    heard_at_ = now;
}

Connection::Then Connection::receive_some(core::SteadyTime now) {
    if (reader_.pipe()) return receive_to_pipe(now);
    const auto expect =
        calls_.expects_bulk() ? RecordReader::Expect::bulk : RecordReader::Expect::small;
    const auto space = reader_.space(expect);
    std::size_t room = 0;
    for (const auto& piece : space) room += piece.iov_len;

    msghdr message{};
    message.msg_iov = const_cast<iovec*>(space.data());
    message.msg_iovlen = space.size();
    const auto received = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT);
    if (received < 0) {
        if (errno == EINTR) return Then::go_on;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return Then::wait;
        lose(socket_error(errno));
        return Then::lost;
    }
    if (received == 0) return end_of_stream();
    const auto bytes = static_cast<std::size_t>(received);
    note_received(bytes, now);
    if (reader_.is_between_records()) record_begun_at_ = now;
    reader_.received(bytes);
    if (const auto then = take_records(now); then != Then::go_on) return then;
    return bytes < room ? Then::wait : Then::go_on;
}

Connection::Then Connection::take_records(core::SteadyTime now) {
    while (auto record = reader_.next()) {
        record_begun_at_ = now;
        const auto xid = reply_xid(core::beginning(*record));
        if (!xid) {
            if (may_complain()) {
                core::log::warning(
                    "{} sent what is not an RPC reply; connecting again", to_string(options_.server)
                );
            }
            return refuse_stream();
        }
        take_reply(std::move(*record), *xid);
    }
    if (reader_.fault() == RecordReader::Fault::none) return Then::go_on;
    if (may_complain()) {
        core::log::warning(
            "{} sent a record that is no record of RPC ({}); connecting again",
            to_string(options_.server),
            reader_.fault() == RecordReader::Fault::record_too_long ? "too long" : "empty fragment"
        );
    }
    if (const auto xid = reader_.too_long_for()) refuse_reply(*xid);
    return refuse_stream();
}

/// Asking for ever would end the connection of all other calls each time.
void Connection::refuse_reply(std::uint32_t xid) {
    auto* const call = calls_.find(xid);
    if (!call || call->is_partly_sent() || ++call->too_long_replies < kMostTooLongReplies) return;
    if (may_complain()) {
        core::log::warning(
            "{} answers a call with more than {} bytes each time; the call fails",
            to_string(options_.server),
            kMaxRecordBytes
        );
    }
    finish(*call, protocol_error());
}

/// Its mark may be a lie: then the answers to all calls are taken for a part of it, and as long as
/// they come the server is not silent.
void Connection::refuse_endless_record(core::SteadyTime now) {
    if (state_ != State::up || reader_.is_between_records()) return;
    if (now - record_begun_at_ < options_.patience.longest_record()) return;
    if (may_complain()) {
        core::log::warning(
            "{} sent a record that does not end; connecting again", to_string(options_.server)
        );
    }
    refuse_stream();
}

bool Connection::may_complain() {
    const auto omitted = shared_->complaints.may(std::chrono::steady_clock::now());
    if (omitted) core::tell_omitted(*omitted);
    return omitted.has_value();
}

Connection::Then Connection::refuse_stream() {
    ++shared_->traffic.broken_streams;
    lose(protocol_error());
    return Then::lost;
}

void Connection::take_reply(core::Slice record, std::uint32_t xid) {
    auto* const call = calls_.find(xid);
    if (!call) {
        ++shared_->traffic.unknown_replies;
        return;
    }
    if (call->is_partly_sent() && state_ == State::up) {
        // The rest of it must still go out, or the stream is broken, and its payload is needed for
        // it.
        if (call->early_reply) {
            ++shared_->traffic.unknown_replies;
        } else {
            call->early_reply = std::move(record);
        }
        return;
    }
    backoff_.succeeded();
    end_silence();

    auto offset = results_offset(core::beginning(record));
    if (!offset && record.piped()) offset = results_offset(record.bytes());  // a long verifier
    if (!offset) return finish(*call, offset.error());
    const auto transmission = call->transmissions > 1 ? Transmission::repeated : Transmission::once;
    finish(*call, Reply{record.sub(*offset, record.size() - *offset), transmission});
}

}  // namespace uidnfs::nfs::rpc
