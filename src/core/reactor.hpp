// SPDX-License-Identifier: Apache-2.0
// Reactor: one thread, one io_context. What is created on it stays on it, so that nothing on it
// needs a lock. Owned by main(); run() makes the calling thread the reactor's.
#pragma once

#include "core/clock.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <coroutine>
#include <functional>
#include <vector>

namespace uidnfs::core {

class Reactor {
public:
    Reactor();
    Reactor(const Reactor&) = delete;
    Reactor& operator=(const Reactor&) = delete;

    boost::asio::io_context& io() noexcept { return io_; }

    /// Serves until stop(), also while there is nothing to do.
    void run();
    /// From any thread.
    void stop();
    /// Serves until `done` returns true; for tests and for the steps before a mount is ready.
    void run_until(const std::function<bool()>& done);

    /// Resumes the coroutine soon, from the loop and never from inside the caller.
    void schedule(std::coroutine_handle<> coroutine);

    /// Runs `work` on the reactor's thread; from any thread.
    void post(std::function<void()> work);

    class Sleep {
    public:
        Sleep(Reactor& reactor, SteadyTime until) : timer_(reactor.io_, until) {}
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> coroutine) {
            timer_.async_wait([coroutine](const boost::system::error_code&) { coroutine.resume(); }
            );
        }
        void await_resume() const noexcept {}

    private:
        boost::asio::steady_timer timer_;
    };

    /// co_await reactor.sleep_for(100ms)
    Sleep sleep_for(SteadyDuration duration) {
        return Sleep(*this, std::chrono::steady_clock::now() + duration);
    }
    Sleep sleep_until(SteadyTime until) { return Sleep(*this, until); }

private:
    void drain();

    boost::asio::io_context io_{1};
    std::vector<std::coroutine_handle<>> ready_;
    std::vector<std::coroutine_handle<>> running_;
    enum class Drain { idle, posted } drain_ = Drain::idle;
};

}  // namespace uidnfs::core
