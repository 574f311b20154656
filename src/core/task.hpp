// SPDX-License-Identifier: Apache-2.0
// Task<T>: a lazily started coroutine that ends exactly once, owned by whoever awaits it. All of
// them run on one reactor thread. Frames come from a per-thread free list, so a steady state
// allocates nothing. (docs/decisions/0001 says why this is not asio::awaitable.)
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <utility>

namespace uidnfs::core {

/// Free lists of coroutine frames by size class, one set per thread; nothing is shared.
class FramePool {
public:
    static void* allocate(std::size_t size);
    static void release(void* frame, std::size_t size) noexcept;
};

namespace detail {

/// How far a task is, seen from whoever awaits it.
enum class Progress : unsigned char { starting, suspended, ended };

/// A task that ends before it ever suspends returns to its awaiter like a function. Symmetric
/// transfer alone would do, were it a tail call in every build; without one, a loop over such tasks
/// would fill the stack (g++ 12 below -O2 and with sanitizers).
struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) const noexcept {
        auto& promise = self.promise();
        const auto before = std::exchange(promise.progress, Progress::ended);
        if (before == Progress::starting) return std::noop_coroutine();
        return promise.continuation;
    }
    void await_resume() const noexcept {}
};

struct PromiseBase {
    std::coroutine_handle<> continuation = std::noop_coroutine();
    Progress progress = Progress::starting;

    static void* operator new(std::size_t size) { return FramePool::allocate(size); }
    static void operator delete(void* frame, std::size_t size) noexcept {
        FramePool::release(frame, size);
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    FinalAwaiter final_suspend() const noexcept { return {}; }
    /// Errors travel as values; an exception that gets here is a defect (out of memory included).
    [[noreturn]] void unhandled_exception() const noexcept;
};

template <class T>
struct Promise : PromiseBase {
    std::optional<T> value;
    template <class U>
    void return_value(U&& result) {
        value.emplace(std::forward<U>(result));
    }
    T take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
    void return_void() const noexcept {}
    void take() const noexcept {}
};

}  // namespace detail

/// REQUIRES: awaited at most once; parameters by value, or owned by the caller until it ends.
template <class T = void>
class [[nodiscard]] Task {
public:
    struct promise_type : detail::Promise<T> {
        Task get_return_object() noexcept {
            return Task(std::coroutine_handle<promise_type>::from_promise(*this));
        }
    };

    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Task& operator=(Task&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Task() {
        if (handle_) handle_.destroy();
    }

    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> caller) {
        auto& promise = handle_.promise();
        promise.continuation = caller;
        handle_.resume();
        if (promise.progress == detail::Progress::ended) return false;
        promise.progress = detail::Progress::suspended;
        return true;
    }
    T await_resume() { return handle_.promise().take(); }

private:
    explicit Task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}

    std::coroutine_handle<promise_type> handle_;
};

/// Starts a task now and lets go of it; it frees itself when it ends.
void spawn(Task<void> task);

}  // namespace uidnfs::core
