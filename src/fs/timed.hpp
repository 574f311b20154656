// SPDX-License-Identifier: Apache-2.0
// within(): the result of a task, or nothing when it takes too long. The task goes on by itself
// then.
#pragma once

#include "core/reactor.hpp"
#include "core/task.hpp"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <coroutine>
#include <memory>
#include <optional>
#include <utility>

namespace uidnfs::fs {

/// `df` and a stat of the root must not hang on a silent server: they answer within a second.
inline constexpr auto kPatience = std::chrono::milliseconds(900);

namespace detail {

template <class T>
struct Race {
    explicit Race(core::Reactor& reactor) : timer(reactor.io()) {}
    std::optional<T> value;
    std::coroutine_handle<> waiter;
    boost::asio::steady_timer timer;

    void wake() {
        if (auto coroutine = std::exchange(waiter, nullptr)) coroutine.resume();
    }
};

template <class T>
core::Task<void> run(std::shared_ptr<Race<T>> race, core::Task<T> task) {
    race->value.emplace(co_await task);
    race->timer.cancel();
}

template <class T>
struct RaceAwaiter {
    std::shared_ptr<Race<T>> race;
    core::SteadyDuration limit;

    bool await_ready() const noexcept { return race->value.has_value(); }
    void await_suspend(std::coroutine_handle<> coroutine) {
        race->waiter = coroutine;
        race->timer.expires_after(limit);
        // Cancelled by the task's end, or expired: either way the waiter goes on from the loop.
        race->timer.async_wait([race = race](const boost::system::error_code&) { race->wake(); });
    }
    void await_resume() const noexcept {}
};

}  // namespace detail

template <class T>
core::Task<std::optional<T>> within(
    core::Reactor& reactor, core::SteadyDuration limit, core::Task<T> task
) {
    auto race = std::make_shared<detail::Race<T>>(reactor);
    core::spawn(detail::run(race, std::move(task)));
    detail::RaceAwaiter<T> awaiter{race, limit};
    co_await awaiter;
    co_return std::move(race->value);
}

}  // namespace uidnfs::fs
