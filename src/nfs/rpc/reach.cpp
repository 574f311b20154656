// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/reach.hpp"

#include "nfs/rpc/connector.hpp"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <coroutine>
#include <memory>
#include <optional>
#include <utility>

namespace uidnfs::nfs::rpc {
namespace {

/// One race. Held by shared_ptr, because handlers of the loop may come late; the coroutine that
/// waits for it is resumed once, from the loop.
class Race : public std::enable_shared_from_this<Race> {
public:
    Race(
        core::Reactor& reactor,
        const std::vector<Address>& addresses,
        std::uint16_t port,
        core::SteadyTime deadline
    )
        : reactor_(&reactor),
          addresses_(addresses),
          port_(port),
          deadline_(deadline),
          head_start_(reactor.io()),
          limit_(reactor.io()) {}

    void begin() {
        limit_.expires_at(deadline_);
        limit_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
            if (!error) self->finish();
        });
        start_next();
    }
    bool await_ready() const noexcept { return is_over_; }
    void await_suspend(std::coroutine_handle<> waiter) noexcept { waiter_ = waiter; }
    void await_resume() const noexcept {}
    std::optional<std::size_t> winner() const noexcept { return winner_; }

private:
    void start_next() {
        head_start_.cancel();
        if (connectors_.size() == addresses_.size()) return;
        const auto index = connectors_.size();
        ConnectRequest request;
        request.server = Endpoint(addresses_[index], port_);
        request.source = SourcePort::any;
        request.timeout = std::max<core::SteadyDuration>(
            deadline_ - std::chrono::steady_clock::now(), std::chrono::milliseconds(1)
        );
        request.user_timeout = request.timeout;
        auto& connector = connectors_.emplace_back(std::make_shared<Connector>(*reactor_));
        connector->start(
            request,
            [self = shared_from_this(), index](core::Result<Connected> result) {
                self->ended(index, std::move(result));
            }
        );
        head_start_.expires_after(kAddressHeadStart);
        head_start_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
            if (!error && !self->is_over_) self->start_next();
        });
    }

    void ended(std::size_t index, core::Result<Connected> result) {
        if (is_over_) return;
        if (result) {
            winner_ = index;
            return finish();
        }
        if (++failures_ == addresses_.size()) return finish();
        start_next();
    }

    void finish() {
        if (std::exchange(is_over_, true)) return;
        limit_.cancel();
        head_start_.cancel();
        for (const auto& connector : connectors_) connector->cancel();
        if (waiter_) reactor_->schedule(waiter_);
    }

    core::Reactor* reactor_;
    std::vector<Address> addresses_;
    std::uint16_t port_;
    core::SteadyTime deadline_;
    boost::asio::steady_timer head_start_;
    boost::asio::steady_timer limit_;
    std::vector<std::shared_ptr<Connector>> connectors_;  // of addresses_, as far as begun
    std::size_t failures_ = 0;
    std::optional<std::size_t> winner_;
    std::coroutine_handle<> waiter_;
    bool is_over_ = false;
};

}  // namespace

core::Task<std::vector<Address>> nearest_first(
    core::Reactor& reactor,
    std::vector<Address> addresses,
    std::uint16_t port,
    core::SteadyTime deadline
) {
    if (addresses.size() < 2) co_return addresses;
    const auto race = std::make_shared<Race>(reactor, addresses, port, deadline);
    race->begin();
    auto& running = *race;
    co_await running;
    if (const auto winner = race->winner()) {
        const auto first = addresses.begin() + static_cast<std::ptrdiff_t>(*winner);
        std::rotate(addresses.begin(), first, first + 1);
    }
    co_return addresses;
}

}  // namespace uidnfs::nfs::rpc
