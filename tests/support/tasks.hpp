// SPDX-License-Identifier: Apache-2.0
// Small tools for coroutines in tests: the next round of the reactor, and two tasks at once. Reactor's
// thread only.
#pragma once

#include "core/event.hpp"
#include "core/reactor.hpp"
#include "core/task.hpp"

#include <coroutine>
#include <optional>
#include <utility>

namespace uidnfs::test {

/// Runs the rest of a coroutine in the reactor's next round.
struct NextRound {
    core::Reactor& reactor;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const { reactor.schedule(coroutine); }
    void await_resume() const noexcept {}
};

/// `result` and `done` belong to somebody who waits for `done`.
template <class T>
core::Task<void> finish_into(core::Task<T> task, std::optional<T>& result, core::Event& done) {
    auto value = co_await std::move(task);
    result.emplace(std::move(value));
    done.notify_all();
}

/// Both run at the same time.
template <class A, class B>
core::Task<std::pair<A, B>> both(core::Reactor& reactor, core::Task<A> first, core::Task<B> second) {
    std::optional<A> a;
    std::optional<B> b;
    core::Event done(reactor);
    core::spawn(finish_into(std::move(first), a, done));
    core::spawn(finish_into(std::move(second), b, done));
    while (!a || !b) {
        auto wait = done.wait();
        co_await wait;
    }
    co_return std::pair<A, B>(std::move(*a), std::move(*b));
}

}  // namespace uidnfs::test
