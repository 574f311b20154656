// SPDX-License-Identifier: Apache-2.0
#include "core/reactor.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <utility>

namespace uidnfs::core {

Reactor::Reactor() = default;

void Reactor::run() {
    const auto work = boost::asio::make_work_guard(io_);
    io_.run();
}

void Reactor::stop() { io_.stop(); }

void Reactor::run_until(const std::function<bool()>& done) {
    const auto work = boost::asio::make_work_guard(io_);
    io_.restart();
    while (!done()) io_.run_one();
}

void Reactor::schedule(std::coroutine_handle<> coroutine) {
    ready_.push_back(coroutine);
    if (phase_ == Phase::handler) return;
    if (std::exchange(drain_, Drain::posted) == Drain::idle) {
        boost::asio::post(io_, [this] {
            drain_ = Drain::idle;
            drain();
        });
    }
}

void Reactor::soon(std::function<void()> work) {
    if (phase_ == Phase::none) return boost::asio::post(io_, std::move(work));
    soon_.push_back(std::move(work));
}

void Reactor::drain() {
    // Resumed coroutines may schedule others: those run in the next round, after pending I/O.
    phase_ = Phase::coroutines;
    running_.swap(ready_);
    for (auto coroutine : running_) coroutine.resume();
    running_.clear();
    phase_ = Phase::none;
    soon_running_.swap(soon_);
    for (const auto& work : soon_running_) work();
    soon_running_.clear();
}

void Reactor::end_turn() {
    phase_ = Phase::none;
    if (!ready_.empty() || !soon_.empty()) drain();
}

void Reactor::post(std::function<void()> work) { boost::asio::post(io_, std::move(work)); }

}  // namespace uidnfs::core
