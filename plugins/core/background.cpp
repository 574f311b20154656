// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/background.hpp"

namespace uidnfs::plugins {

Background::Background(core::Reactor& reactor) : reactor_(reactor), thread_([this] { serve(); }) {}

Background::~Background() {
    {
        const std::lock_guard lock(mutex_);
        wish_ = Wish::end;
    }
    changed_.notify_one();
    thread_.join();
}

void Background::push(std::function<void()> job) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
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
