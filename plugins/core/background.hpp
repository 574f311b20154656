// SPDX-License-Identifier: Apache-2.0
// Background: one thread for what blocks (fsync). Work is done in order; what it returns comes back
// on the reactor's thread. Owned by Volumes; its end waits for the work that was given to it.
#pragma once

#include "core/reactor.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace uidnfs::plugins {

class Background {
public:
    explicit Background(core::Reactor& reactor);
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;
    ~Background();

    /// `work()` runs on the thread, `then(result)` on the reactor, unless the reactor ended.
    template <class Work, class Then>
    void run(Work work, Then then) {
        push([this, work = std::move(work), then = std::move(then)]() mutable {
            reactor_.post([result = work(), then = std::move(then)]() mutable {
                then(std::move(result));
            });
        });
    }

private:
    void push(std::function<void()> job);
    void serve();

    core::Reactor& reactor_;
    std::mutex mutex_;  // guards the two below
    std::deque<std::function<void()>> jobs_;
    enum class Wish { serve, end } wish_ = Wish::serve;
    std::condition_variable changed_;
    std::thread thread_;  // last: it uses all of the above
};

}  // namespace uidnfs::plugins
