// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/transport.hpp"

#include <sys/random.h>

#include <algorithm>
#include <utility>

namespace uidnfs::nfs::rpc {
namespace {

/// Anywhere, so that a restarted client is not taken for a retransmission of the one before.
std::uint32_t first_xid() {
    std::uint32_t value = 0;
    if (::getrandom(&value, sizeof value, 0) != sizeof value) {
        value =
            static_cast<std::uint32_t>(std::chrono::system_clock::now().time_since_epoch().count());
    }
    return value;
}

/// Only a mount that is there waits for ever.
core::SteadyTime last_try(const Patience& patience, ConnectionOptions::Persistence persistence) {
    if (persistence == ConnectionOptions::Persistence::forever) return core::SteadyTime::max();
    return std::chrono::steady_clock::now() + patience.total();
}

}  // namespace

Transport::Transport(core::Reactor& reactor, const TransportOptions& options)
    : server_(options.connection.server),
      last_try_(rpc::last_try(options.connection.patience, options.connection.persistence)),
      shared_(std::make_shared<Shared>(
          reactor, options.server_name, options.port_notice, options.on_connection
      )),
      budget_(reactor, kUnitsPerConnection * options.connections) {
    shared_->next_xid = first_xid();
    for (std::uint32_t i = 0; i < options.connections; ++i) {
        auto wanted = options.connection;
        if (i < options.source_ports.size()) wanted.source_port = options.source_ports[i];
        connections_.push_back(std::make_shared<Connection>(shared_, wanted));
    }
}

Transport::~Transport() { close(core::Error(ECONNABORTED)); }

Connection& Transport::pick(const Route& route) noexcept {
    if (connections_.size() == 1) return *connections_.front();
    if (route.kind == Route::Kind::pinned) return *connections_[route.key % connections_.size()];
    // Among equals they take turns, so that all of them are in use and stay open.
    const auto load = [](const Connection& connection) {
        return std::pair(connection.load_bytes(), connection.unanswered());
    };
    auto* least = connections_[turn_++ % connections_.size()].get();
    for (const auto& connection : connections_) {
        if (load(*connection) < load(*least)) least = connection.get();
    }
    return *least;
}

void Transport::set_terms(const Patience& patience, ConnectionOptions::Persistence persistence) {
    last_try_ = rpc::last_try(patience, persistence);
    for (const auto& connection : connections_) connection->set_terms(patience, persistence);
}

void Transport::close(core::Error why) {
    state_ = State::closed;
    for (const auto& connection : connections_) connection->close(why);
    for (auto* pause : pauses_) pause->timer_.cancel();
}

void Transport::suspend(core::Error why) {
    if (state_ == State::closed) return;
    close(why);
    state_ = State::suspended;
}

void Transport::resume() {
    if (state_ != State::suspended) return;
    state_ = State::open;
    for (const auto& connection : connections_) connection->reopen();
}

void Transport::trim() noexcept {
    shared_->blocks.trim();
    shared_->calls.trim();
}

Transport::Pause::Pause(Transport& transport, core::SteadyDuration duration)
    : transport_(&transport), timer_(transport.reactor().io()) {
    timer_.expires_after(transport.state_ != State::open ? core::SteadyDuration::zero() : duration);
    transport_->pauses_.push_back(this);
}

Transport::Pause::~Pause() { std::erase(transport_->pauses_, this); }

void Transport::Pause::await_suspend(std::coroutine_handle<> waiter) {
    timer_.async_wait([waiter](const boost::system::error_code&) { waiter.resume(); });
}

}  // namespace uidnfs::nfs::rpc
