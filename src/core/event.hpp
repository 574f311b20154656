// SPDX-License-Identifier: Apache-2.0
// What coroutines of one reactor wait for: Event (something became true), Semaphore (a budget) and
// Mutex (one at a time). None is thread-safe; all wake through the reactor, in order of arrival.
#pragma once

#include "core/reactor.hpp"
#include "core/task.hpp"

#include <coroutine>
#include <cstdint>
#include <deque>

namespace uidnfs::core {

/// Wakes everybody who waits each time notify_all() is called; the waiter checks its own condition:
/// `while (!condition) co_await event.wait();`
class Event {
public:
    explicit Event(Reactor& reactor) noexcept : reactor_(&reactor) {}
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    /// REQUIRES: nobody waits any more.
    ~Event() = default;

    struct Awaiter {
        Event& event;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> coroutine) {
            event.waiters_.push_back(coroutine);
        }
        void await_resume() const noexcept {}
    };

    Awaiter wait() noexcept { return {*this}; }
    void notify_all();
    bool has_waiters() const noexcept { return !waiters_.empty(); }

private:
    Reactor* reactor_;
    std::vector<std::coroutine_handle<>> waiters_;
};

/// A budget of units; first come, first served, so that a large request is not starved.
class Semaphore {
public:
    Semaphore(Reactor& reactor, std::int64_t units) noexcept : reactor_(&reactor), free_(units) {}
    Semaphore(const Semaphore&) = delete;
    Semaphore& operator=(const Semaphore&) = delete;

    struct Awaiter {
        Semaphore& semaphore;
        std::int64_t units;
        bool await_ready() noexcept { return semaphore.try_acquire(units); }
        void await_suspend(std::coroutine_handle<> coroutine) {
            semaphore.waiters_.push_back({coroutine, units});
        }
        void await_resume() const noexcept {}
    };

    /// Waits for `units`; more than the whole budget waits for all of it to be free.
    Awaiter acquire(std::int64_t units) noexcept { return {*this, units}; }
    bool try_acquire(std::int64_t units) noexcept;
    /// Takes `units` at once, below zero if need be (a reserve that must not wait).
    void force_acquire(std::int64_t units) noexcept {
        taken_ += units;
        free_ -= units;
    }
    void release(std::int64_t units);
    /// The whole budget becomes that much larger, or smaller: then what is taken beyond it is given
    /// back before anybody gets more.
    void grow(std::int64_t units);

    bool has_waiters() const noexcept { return !waiters_.empty(); }
    std::int64_t available() const noexcept { return free_; }
    std::int64_t taken() const noexcept { return taken_; }

private:
    struct Waiter {
        std::coroutine_handle<> coroutine;
        std::int64_t units;
    };
    bool fits(std::int64_t units) const noexcept { return units <= free_ || taken_ == 0; }
    void wake();

    Reactor* reactor_;
    std::int64_t free_;
    std::int64_t taken_ = 0;
    std::deque<Waiter> waiters_;
};

/// `auto lock = co_await mutex.lock();` — unlocks when `lock` dies.
class Mutex {
public:
    explicit Mutex(Reactor& reactor) noexcept : semaphore_(reactor, 1) {}

    class [[nodiscard]] Lock {
    public:
        explicit Lock(Mutex& mutex) noexcept : mutex_(&mutex) {}
        Lock(Lock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
        Lock& operator=(Lock&&) = delete;
        ~Lock() {
            if (mutex_) mutex_->semaphore_.release(1);
        }

    private:
        Mutex* mutex_;
    };

    struct Awaiter {
        Mutex& mutex;
        Semaphore::Awaiter inner;
        bool await_ready() noexcept { return inner.await_ready(); }
        void await_suspend(std::coroutine_handle<> coroutine) { inner.await_suspend(coroutine); }
        Lock await_resume() const noexcept { return Lock(mutex); }
    };

    Awaiter lock() noexcept { return {*this, semaphore_.acquire(1)}; }
    bool is_locked() const noexcept { return semaphore_.taken() > 0; }

private:
    Semaphore semaphore_;
};

}  // namespace uidnfs::core
