// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/connection.hpp"

#include "core/clock.hpp"
#include "nfs/rpc/status.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace uidnfs::nfs::rpc {
namespace {

/// Pieces handed to one sendmsg(2).
constexpr std::size_t kSendPieces = 128;

std::uint32_t chance() {
    std::uint32_t value = 0;
    if (::getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value) value = 0;
    return value;
}

}  // namespace

Connection::Connection(std::shared_ptr<Shared> shared, const ConnectionOptions& options)
    : shared_(std::move(shared)),
      options_(options),
      connector_(std::make_shared<Connector>(*shared_->reactor)),
      socket_(shared_->reactor->io()),
      reader_(shared_->blocks),
      local_port_(options.source_port),
      deadline_timer_(shared_->reactor->io()),
      backoff_timer_(shared_->reactor->io()),
      heard_at_(core::now()) {}

Connection::~Connection() = default;

bool Connection::submit(Call& call) {
    if (state_ == State::closed) {
        call.result = closed_why_;
        return false;
    }
    do {
        call.set_xid(shared_->next_xid++);
    } while (calls_.is_taken(call.xid));
    call.queued_at = core::now();
    calls_.add(call);

    arm_timer(call.queued_at + options_.patience.timeo);
    if (state_ == State::down) connect_soon();
    if (state_ == State::up && burst_ == Burst::no) {
        // A call that comes alone goes at once; more of them gather until the loop comes round.
        if (calls_.size() == 1 && call.send == Send::now && flush_ == Flush::idle) {
            flush();
        } else {
            flush_soon();
        }
    }
    return true;
}

void Connection::set_terms(const Patience& patience, ConnectionOptions::Persistence persistence) {
    options_.patience = patience;
    options_.persistence = persistence;
    if (!calls_.empty()) arm_timer(core::now());
}

core::SteadyTime Connection::oldest_call() const noexcept {
    auto oldest = core::SteadyTime::max();
    for (const auto* call = calls_.front(); call; call = call->next) {
        oldest = std::min(oldest, call->queued_at);
    }
    return oldest;
}

void Connection::close(core::Error why) {
    if (state_ == State::closed) {
        closed_why_ = why;
        return;
    }
    state_ = State::closed;
    closed_why_ = why;
    connector_->cancel();
    deadline_timer_.cancel();
    backoff_timer_.cancel();
    drop_socket();
    if (std::exchange(hearing_, Hearing::fine) == Hearing::silent) shared_->health.forget();
    while (auto* call = calls_.front()) finish(*call, why);
    if (finished_.empty()) return;
    boost::asio::post(shared_->reactor->io(), [self = shared_from_this()] {
        self->resume_finished();
    });
}

void Connection::reopen() {
    if (state_ != State::closed) return;
    state_ = State::down;
    armed_for_ = core::SteadyTime::max();
    heard_at_ = core::now();
}

void Connection::connect_soon() {
    const auto delay = backoff_.next(core::now(), chance());
    if (delay == core::SteadyDuration::zero()) return connect_now();
    state_ = State::waiting;
    backoff_timer_.expires_after(delay);
    backoff_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
        if (!error && self->state_ == State::waiting) self->connect_now();
    });
}

void Connection::connect_now() {
    state_ = State::connecting;
    ConnectRequest request;
    request.server = options_.server;
    request.source = options_.source;
    request.preferred_port = local_port_;
    request.timeout = options_.patience.connect_timeout();
    request.user_timeout = options_.patience.total();
    connector_->start(request, [self = shared_from_this()](core::Result<Connected> connected) {
        if (connected) {
            self->adopt(std::move(*connected));
        } else {
            self->lose(connected.error());
        }
        self->resume_finished();
    });
}

void Connection::adopt(Connected connected) {
    state_ = State::up;
    ++generation_;
    local_port_ = connected.local_port;
    port_origin_ = connected.origin;
    if (connections_made_++ > 0) ++shared_->traffic.reconnects;
    tell_about_port();
    boost::system::error_code error;
    socket_.assign(connected.socket.get(), error);
    if (error) return lose(socket_error(error.value()));
    connected.socket.release();
    tell_listener(ConnectionNews::Event::made);
    calls_.rewind();
    // A server that takes the connection and says nothing is no better than one that does not.
    if (!calls_.empty()) arm_timer(core::now() + options_.patience.timeo);
    flush();
    wait_readable();
}

void Connection::tell_about_port() {
    if (shared_->port_notice == PortNotice::given) return;
    const auto why = why_not_reserved(port_origin_);
    if (why.empty()) return;
    shared_->port_notice = PortNotice::given;
    core::log::warning(
        "no reserved source port towards {}: {}; going on from port {}, which servers with the "
        "export option \"secure\" refuse (noresvport avoids this line)",
        to_string(options_.server),
        why,
        local_port_
    );
}

void Connection::tell_listener(ConnectionNews::Event event) const {
    if (!shared_->on_connection) return;
    shared_->on_connection({event, to_string(options_.server), local_port_});
}

void Connection::drop_socket() {
    ++generation_;
    const bool was_open = socket_.is_open();
    boost::system::error_code ignored;
    socket_.close(ignored);
    if (was_open) tell_listener(ConnectionNews::Event::ended);
    reader_.reset();
    flush_ = Flush::idle;
}

void Connection::lose(core::Error why) {
    if (state_ == State::closed) return;
    const bool is_once = options_.persistence == ConnectionOptions::Persistence::once;
    if (is_once && !calls_.empty()) return close(why);
    core::log::debug(
        "connection to {} lost ({}), {} calls wait",
        to_string(options_.server),
        core::to_string(why),
        calls_.size()
    );
    drop_socket();
    state_ = State::down;
    // What was answered before it was wholly sent is answered, not sent again.
    for (auto* call = calls_.front(); call;) {
        auto* const next = call->next;
        if (call->early_reply) take_reply(std::move(*call->early_reply), call->xid);
        call = next;
    }
    calls_.rewind();
    if (!calls_.empty()) connect_soon();
}

void Connection::flush_soon() {
    if (flush_ != Flush::idle) return;
    flush_ = Flush::posted;
    shared_->reactor->soon([self = shared_from_this(), mine = generation_] {
        if (mine != self->generation_ || self->flush_ != Flush::posted) return;
        self->flush_ = Flush::idle;
        self->flush();
        self->resume_finished();
    });
}

void Connection::flush() {
    if (state_ != State::up || flush_ == Flush::blocked) return;
    while (calls_.has_unsent()) {
        switch (send_some()) {
            case Then::go_on: break;
            case Then::wait: return wait_writable();
            case Then::lost: return;
        }
    }
}

Connection::Then Connection::send_some() {
    std::array<iovec, kSendPieces> pieces;
    const auto gathered = calls_.gather(pieces);
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = gathered.pieces;
    const auto sent = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
        const auto bytes = static_cast<std::size_t>(sent);
        note_sent(bytes);
        return bytes < gathered.bytes ? Then::wait : Then::go_on;
    }
    if (errno == EINTR) return Then::go_on;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Then::wait;
    const auto error = socket_error(errno);
    boost::asio::post(
        shared_->reactor->io(),
        [self = shared_from_this(), mine = generation_, error] {
            if (mine != self->generation_) return;
            self->lose(error);
            self->resume_finished();
        }
    );
    return Then::lost;
}

void Connection::note_sent(std::size_t bytes) {
    shared_->traffic.bytes_sent += bytes;
    just_sent_.clear();
    calls_.sent(bytes, core::now(), just_sent_);
    for (auto* call : just_sent_) {
        if (call->transmissions > 1) ++shared_->traffic.retransmits;
        if (call->early_reply) take_reply(std::move(*call->early_reply), call->xid);
    }
}

void Connection::wait_writable() {
    flush_ = Flush::blocked;
    socket_.async_wait(
        boost::asio::posix::stream_descriptor::wait_write,
        [self = shared_from_this(), mine = generation_](const boost::system::error_code& error) {
            if (error || mine != self->generation_) return;
            self->flush_ = Flush::idle;
            self->flush();
            self->resume_finished();
        }
    );
}

void Connection::finish(Call& call, core::Result<Reply> result) {
    calls_.remove(call);
    call.result = std::move(result);
    finished_.push_back(call.waiter);
}

void Connection::resume_finished() {
    if (finished_.empty() || burst_ == Burst::yes) return;
    burst_ = Burst::yes;
    resuming_.swap(finished_);
    for (const auto waiter : resuming_) waiter.resume();
    resuming_.clear();
    burst_ = Burst::no;
    flush();
}

Line Connection::line() {
    using Path = Patience::Silence::Path;
    if (state_ != State::up) return {Line::State::down, Path::alive, heard_at_};
    const bool is_dead = is_path_dead(socket_.native_handle(), options_.patience.timeo);
    return {Line::State::up, is_dead ? Path::dead : Path::alive, heard_at_};
}

void Connection::begin_silence(void (ServerHealth::*tell)()) {
    if (options_.persistence == ConnectionOptions::Persistence::once) return;
    if (std::exchange(hearing_, Hearing::silent) == Hearing::fine) (shared_->health.*tell)();
}

void Connection::end_silence() {
    if (std::exchange(hearing_, Hearing::fine) == Hearing::silent) shared_->health.answering();
}

void Connection::arm_timer(core::SteadyTime when) {
    if (when >= armed_for_) return;
    armed_for_ = when;
    deadline_timer_.expires_at(when);
    deadline_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
        if (error || self->state_ == State::closed) return;
        self->armed_for_ = core::SteadyTime::max();
        self->on_timer();
        self->resume_finished();
    });
}

void Connection::on_timer() {
    const auto& patience = options_.patience;
    const auto now = core::now();
    refuse_endless_record(now);
    const auto overdue = find_overdue(calls_, patience, line(), now);
    for (auto* call : overdue.failed) finish(*call, core::Error(patience.give_up_errno()));
    if (!overdue.failed.empty()) {
        begin_silence(&ServerHealth::timed_out);
    } else if (overdue.server == Overdue::Server::silent) {
        begin_silence(&ServerHealth::silent);
    }
    if (overdue.stream != Overdue::Stream::sound) lose(socket_error(ETIMEDOUT));
    flush();
    if (!calls_.empty() && overdue.next_look != core::SteadyTime::max()) {
        arm_timer(overdue.next_look);
    }
}

}  // namespace uidnfs::nfs::rpc
