// SPDX-License-Identifier: Apache-2.0
#include "plugins/http/session.hpp"

#include "core/log.hpp"

#include <fmt/format.h>

#include <utility>

namespace uidnfs::plugins::http {
namespace {

using boost::system::error_code;
using Progress = RequestReader::Progress;

// What a client that was refused may still send before it is cut off, so that it can read why.
constexpr std::size_t kMaxLinger = 1u << 20;
constexpr auto kLingerTime = std::chrono::seconds(1);
// What a client may send while its request is handled; more is not worth waiting for.
constexpr std::size_t kMaxAhead = 64 * 1024;

}  // namespace

Session::Session(Deps deps, std::unique_ptr<Stream> stream)
    : deps_(std::move(deps)),
      stream_(std::move(stream)),
      reader_(deps_.limits.message),
      timer_(deps_.reactor.io()),
      touched_(std::chrono::steady_clock::now()) {}

Session::~Session() {
    if (deps_.ended) deps_.ended(this);
}

void Session::start() {
    set_timer(deps_.limits.handshake);
    stream_->handshake([self = shared_from_this()](error_code error) {
        if (self->phase_ == Phase::closed) return;
        if (error) {
            core::log::debug("an HTTP client was refused: {}", error.message());
            return self->close();
        }
        self->peer_name_ = self->stream_->peer();
        self->phase_ = Phase::reading;
        self->advance();
    });
}

bool Session::is_busy() const noexcept {
    if (peer_ == Peer::gone) return false;
    // Another answer that its client does not read is no reason to keep others waiting.
    return answer_ == Answer::owed || (phase_ == Phase::writing && told_);
}

bool Session::is_abandoned() const noexcept {
    return answer_ == Answer::owed && peer_ == Peer::gone;
}

void Session::close() {
    if (std::exchange(phase_, Phase::closed) == Phase::closed) return;
    timer_.cancel();
    stream_->close();
    on_gone();
}

/// The client cannot get an answer.
void Session::on_gone() {
    peer_ = Peer::gone;
    hung_up_.request_stop();
    if (const auto told = std::exchange(told_, nullptr)) told(Delivery::failed);
}

void Session::set_timer(core::SteadyDuration time) {
    timer_.expires_after(time);
    timer_.async_wait([weak = weak_from_this()](const error_code& error) {
        const auto self = weak.lock();
        // A timer that was set anew may have fired already.
        if (error || !self || self->timer_.expiry() > std::chrono::steady_clock::now()) return;
        self->on_timer();
    });
}

void Session::on_timer() {
    switch (phase_) {
        case Phase::reading:
            if (reader_.progress() == Progress::header || reader_.progress() == Progress::body) {
                return fail(408);
            }
            return close();
        case Phase::handshake:
        case Phase::writing:
        case Phase::lingering: return close();
        case Phase::handling:
        case Phase::closed: return;
    }
}

void Session::read() {
    if (std::exchange(reading_, Reading::yes) == Reading::yes) return;
    stream_->read(buffer_, [self = shared_from_this()](error_code error, std::size_t size) {
        self->reading_ = Reading::no;
        self->on_read(error, size);
    });
}

void Session::on_read(error_code error, std::size_t size) {
    if (phase_ == Phase::closed) return;
    if (phase_ == Phase::lingering) {
        lingered_ += size;
        return error || lingered_ > kMaxLinger ? close() : read();
    }
    if (error) {
        if (phase_ == Phase::reading) return close();
        peer_ = Peer::gone;
        connection_ = Connection::close;
        hung_up_.request_stop();
        return;
    }
    const auto progress = reader_.feed({buffer_.data(), size});
    if (phase_ == Phase::reading) return advance();
    if (progress != Progress::failed && reader_.kept() > kMaxAhead) close();
    if (phase_ != Phase::closed) read();
}

/// Goes on with what was read; one request after another, without recursion.
void Session::advance() {
    if (std::exchange(turn_, Turn::taken) == Turn::taken) return;
    while (phase_ == Phase::reading) {
        const auto progress = reader_.progress();
        if (progress == Progress::ready) {
            handle(reader_.take());
            continue;
        }
        if (progress == Progress::failed) {
            fail(reader_.status());
            break;
        }
        if (timed_ != progress) {
            timed_ = progress;
            set_timer(
                progress == Progress::header ? deps_.limits.header
                : progress == Progress::body ? deps_.limits.body
                                             : deps_.limits.idle
            );
        }
        if (reader_.take_expectation()) {
            invite_body();
        } else {
            read();
        }
        break;
    }
    turn_ = Turn::free;
}

/// Nothing is read until it is written, so that no answer can get into it.
void Session::invite_body() {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    inviting_ = Inviting::yes;
    stream_->write(kContinue, [self = shared_from_this()](error_code error, std::size_t) {
        self->inviting_ = Inviting::no;
        if (self->phase_ == Phase::closed) return;
        return error ? self->close() : self->read();
    });
}

void Session::handle(Request request) {
    phase_ = Phase::handling;
    touched_ = std::chrono::steady_clock::now();
    timed_ = Progress::ready;
    timer_.cancel();
    method_ = request.method;
    connection_ = request.connection;
    request.peer = peer_name_;
    hung_up_ = std::stop_source();
    answer_ = Answer::owed;
    deps_.handler.handle(std::move(request), Responder(shared_from_this()), hung_up_.get_token());
    // An answer may have been given already; in any case the client may hang up from here on.
    if (phase_ == Phase::handling || phase_ == Phase::writing) read();
}

void Session::respond(Response response, OnDelivery told) {
    answer_ = Answer::none;
    if (phase_ != Phase::handling) {
        if (told) told(Delivery::failed);
        return;
    }
    if (peer_ == Peer::gone && told) {
        told(Delivery::failed);
        return close();
    }
    write(render(response, connection_, method_), std::move(told));
}

void Session::write(std::string bytes, OnDelivery told) {
    phase_ = Phase::writing;
    touched_ = std::chrono::steady_clock::now();
    out_ = std::move(bytes);
    told_ = std::move(told);
    set_timer(deps_.limits.write);
    stream_->write(out_, [self = shared_from_this()](error_code error, std::size_t) {
        self->on_written(error);
    });
}

void Session::on_written(error_code error) {
    if (phase_ == Phase::closed) return;
    if (error || (peer_ == Peer::gone && told_)) return close();
    if (const auto told = std::exchange(told_, nullptr)) told(Delivery::done);
    touched_ = std::chrono::steady_clock::now();
    if (connection_ == Connection::close) return linger();
    phase_ = Phase::reading;
    timed_ = Progress::ready;
    advance();
}

void Session::fail(unsigned status) {
    if (inviting_ == Inviting::yes) return close();  // it does not read
    connection_ = Connection::close;
    write(
        render(
            {status, "text/plain; charset=utf-8", "the request was not understood\n"},
            connection_,
            {}
        ),
        {}
    );
    if (phase_ != Phase::closed) read();
}

/// Closing while bytes of the client wait would reset the connection and take the answer along.
void Session::linger() {
    if (peer_ == Peer::gone) return close();
    phase_ = Phase::lingering;
    stream_->finish();
    set_timer(kLingerTime);
    read();
}

}  // namespace uidnfs::plugins::http
