// SPDX-License-Identifier: Apache-2.0
#include "ldap/alarms.hpp"

#include "ldap/signals.hpp"

#include <sys/socket.h>

namespace uidnfs::ldap {

Alarms::Alarms()
    : thread_([this] {
          block_signals();
          run();
      }) {}

Alarms::~Alarms() {
    {
        const std::lock_guard lock(mutex_);
        state_ = State::ending;
    }
    changed_.notify_one();
    thread_.join();
}

Alarms::Id Alarms::set(core::SteadyTime when, Action action) {
    const std::lock_guard lock(mutex_);
    const Id id{when, next_++};
    if (state_ != State::running) {
        action();
        return id;
    }
    const auto it = alarms_.emplace(id, std::move(action)).first;
    if (it == alarms_.begin()) changed_.notify_one();
    return id;
}

void Alarms::cancel(const Id& id) {
    // Actions run under the lock, so one that runs has ended when we get it.
    const std::lock_guard lock(mutex_);
    alarms_.erase(id);
}

void Alarms::stop() {
    const std::lock_guard lock(mutex_);
    state_ = State::stopping;
    for (auto& [id, action] : alarms_) action();
    alarms_.clear();
}

void Alarms::run() {
    std::unique_lock lock(mutex_);
    while (state_ != State::ending) {
        if (alarms_.empty()) {
            changed_.wait(lock);
            continue;
        }
        const auto first = alarms_.begin();
        const auto when = first->first.first;
        if (std::chrono::steady_clock::now() < when) {
            changed_.wait_until(lock, when);
            continue;
        }
        const auto action = std::move(first->second);
        alarms_.erase(first);
        action();
    }
}

Deadline::Deadline(Alarms& alarms, int fd, core::SteadyTime when)
    : alarms_(alarms), id_(alarms.set(when, [fd] { ::shutdown(fd, SHUT_RDWR); })) {}

}  // namespace uidnfs::ldap
