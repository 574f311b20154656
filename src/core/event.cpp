// SPDX-License-Identifier: Apache-2.0
#include "core/event.hpp"

namespace uidnfs::core {

void Event::notify_all() {
    for (auto coroutine : waiters_) reactor_->schedule(coroutine);
    waiters_.clear();
}

bool Semaphore::try_acquire(std::int64_t units) noexcept {
    if (!waiters_.empty() || !fits(units)) return false;
    force_acquire(units);
    return true;
}

void Semaphore::release(std::int64_t units) {
    free_ += units;
    taken_ -= units;
    wake();
}

void Semaphore::grow(std::int64_t units) {
    free_ += units;
    wake();
}

void Semaphore::wake() {
    while (!waiters_.empty() && fits(waiters_.front().units)) {
        force_acquire(waiters_.front().units);
        reactor_->schedule(waiters_.front().coroutine);
        waiters_.pop_front();
    }
}

}  // namespace uidnfs::core
