// SPDX-License-Identifier: Apache-2.0
// ThreadPool: a fixed number of threads that take work in the order it came. Owned by the
// Directory. post() from any thread; work that is still waiting when the pool ends is run too, so
// that nobody waits for an answer without end.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace uidnfs::ldap {

class ThreadPool {
public:
    using Work = std::function<void()>;

    explicit ThreadPool(std::size_t threads);
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;
    ~ThreadPool() { finish(); }

    void post(Work work);
    /// Runs what waits and ends the threads; work that is posted meanwhile is run too.
    void finish();

private:
    void run();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Work> work_;
    enum class State { running, finishing } state_ = State::running;
    std::vector<std::thread> threads_;
};

}  // namespace uidnfs::ldap
