// SPDX-License-Identifier: Apache-2.0
#include "ldap/thread_pool.hpp"

#include "ldap/signals.hpp"

namespace uidnfs::ldap {

ThreadPool::ThreadPool(std::size_t threads) {
    for (std::size_t i = 0; i < threads; ++i) {
        threads_.emplace_back([this] {
            block_signals();
            run();
        });
    }
}

void ThreadPool::post(Work work) {
    {
        const std::lock_guard lock(mutex_);
        work_.push_back(std::move(work));
    }
    changed_.notify_one();
}

void ThreadPool::finish() {
    {
        const std::lock_guard lock(mutex_);
        state_ = State::finishing;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
}

void ThreadPool::run() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return !work_.empty() || state_ == State::finishing; });
        if (work_.empty()) return;
        auto work = std::move(work_.front());
        work_.pop_front();
        lock.unlock();
        work();
        work = nullptr;
        lock.lock();
    }
}

}  // namespace uidnfs::ldap
