// SPDX-License-Identifier: Apache-2.0
#include "core/task.hpp"

#include <array>
#include <cstdio>
#include <exception>
#include <new>

namespace uidnfs::core {
namespace {

constexpr std::size_t kClassBytes = 64;
constexpr std::size_t kClasses = 32;        // frames up to 2 KiB are kept
#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t kKeptPerClass = 0;  // a frame that is used after its end shall be seen
#else
constexpr std::size_t kKeptPerClass = 256;  // bounds what an idle thread holds
#endif

struct FreeFrame {
    FreeFrame* next;
};

struct FreeLists {
    std::array<FreeFrame*, kClasses> head{};
    std::array<std::size_t, kClasses> count{};

    ~FreeLists() {
        for (auto* frame : head) {
            while (frame) ::operator delete(std::exchange(frame, frame->next));
        }
    }
};

thread_local FreeLists lists;

constexpr std::size_t class_of(std::size_t size) { return (size + kClassBytes - 1) / kClassBytes; }

/// Owns a spawned task and destroys itself at the end.
struct Detached {
    struct promise_type {
        static void* operator new(std::size_t size) { return FramePool::allocate(size); }
        static void operator delete(void* frame, std::size_t size) noexcept {
            FramePool::release(frame, size);
        }
        Detached get_return_object() const noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
    };
};

Detached run_detached(Task<void> task) { co_await task; }

}  // namespace

void* FramePool::allocate(std::size_t size) {
    const auto index = class_of(size);
    if (index < kClasses) {
        if (auto* frame = lists.head[index]) {
            lists.head[index] = frame->next;
            --lists.count[index];
            return frame;
        }
        size = index * kClassBytes;
    }
    return ::operator new(size);
}

void FramePool::release(void* frame, std::size_t size) noexcept {
    const auto index = class_of(size);
    if (index < kClasses && lists.count[index] < kKeptPerClass) {
        lists.head[index] = new (frame) FreeFrame{lists.head[index]};
        ++lists.count[index];
        return;
    }
    ::operator delete(frame);
}

void detail::PromiseBase::unhandled_exception() const noexcept { std::terminate(); }

void spawn(Task<void> task) { run_detached(std::move(task)); }

}  // namespace uidnfs::core
