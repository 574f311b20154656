// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/background.hpp"

namespace uidnfs::plugins {

// The thread begins with the first work: it is then a thread of the service user, with all that was
// given up for it (no_new_privs is each thread's own).
Background::Background(core::Reactor& reactor) : reactor_(reactor) {}

Background::~Background() {
    {
        const std::lock_guard lock(mutex_);
        wish_ = Wish::end;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
}

void Background::push(std::function<void()> job) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
        if (!thread_.joinable()) thread_ = std::thread([this] { serve(); });
    }
    changed_.notify_one();
}

void Background::serve() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return wish_ == Wish::end || !jobs_.empty(); });
        if (jobs_.empty()) return;
        auto job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        job();
        job = nullptr;
        lock.lock();
    }
}

}  // namespace uidnfs::plugins
