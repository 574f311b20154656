// SPDX-License-Identifier: Apache-2.0
// Reactor: one thread, one io_context. What is created on it stays on it, so that nothing on it
// needs a lock. Owned by main(); run() makes the calling thread the reactor's.
#pragma once

#include "core/clock.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <coroutine>
#include <functional>
#include <utility>
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

    /// Carries out what an event asks for, and after it what it has scheduled: what is posted waits
    /// until Asio has looked for further events, a system call that mostly finds none. Not from
    /// inside another one.
    template <class F>
    void turn(F&& handler) {
        phase_ = Phase::handler;
        std::forward<F>(handler)();
        end_turn();
    }

    /// Runs `work` from the loop, after the coroutines that are scheduled in this turn; from the
    /// reactor's thread only.
    void soon(std::function<void()> work);

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
    void end_turn();

    boost::asio::io_context io_{1};
    std::vector<std::coroutine_handle<>> ready_;
    std::vector<std::coroutine_handle<>> running_;
    enum class Drain { idle, posted } drain_ = Drain::idle;
    std::vector<std::function<void()>> soon_;
    std::vector<std::function<void()>> soon_running_;
    /// `handler`: what is scheduled is carried out at its end. `coroutines`: of this round; what
    /// they schedule is for the next one.
    enum class Phase { none, handler, coroutines } phase_ = Phase::none;
};

}  // namespace uidnfs::core
