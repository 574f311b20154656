// SPDX-License-Identifier: Apache-2.0
// Task<T>: a lazily started coroutine that ends exactly once, owned by whoever awaits it. All of them
// run on one reactor thread. Frames come from a per-thread free list, so a steady state allocates
// nothing. (docs/decisions/0001 says why this is not asio::awaitable.)
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

struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) const noexcept {
        return self.promise().continuation;
    }
    void await_resume() const noexcept {}
};

struct PromiseBase {
    std::coroutine_handle<> continuation = std::noop_coroutine();

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
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
        handle_.promise().continuation = caller;
        return handle_;
    }
    T await_resume() { return handle_.promise().take(); }

private:
    explicit Task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}

    std::coroutine_handle<promise_type> handle_;
};

/// Starts a task now and lets go of it; it frees itself when it ends.
void spawn(Task<void> task);

}  // namespace uidnfs::core
