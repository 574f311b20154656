// SPDX-License-Identifier: Apache-2.0
// Alarms: things to be done at a time, on one thread of its own. libldap has no deadline that
// covers a TLS handshake or a server that sends a byte a second; a socket that is shut down at the
// deadline ends every call on it. Owned by the Directory; every function is thread-safe.
#pragma once

#include "core/clock.hpp"

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace uidnfs::ldap {

class Alarms {
public:
    /// Must be short and must not call back into Alarms.
    using Action = std::function<void()>;
    using Id = std::pair<core::SteadyTime, std::uint64_t>;

    Alarms();
    Alarms(const Alarms&) = delete;
    Alarms& operator=(const Alarms&) = delete;
    ~Alarms();

    Id set(core::SteadyTime when, Action action);
    /// The action is not running and will not run after this returns.
    void cancel(const Id& id);
    /// Every alarm goes off now, and those that are set later at once.
    void stop();

private:
    void run();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<Id, Action> alarms_;
    std::uint64_t next_ = 0;
    enum class State { running, stopping, ending } state_ = State::running;
    std::thread thread_;
};

/// Shuts a socket down at the deadline. INVARIANT: dies before the descriptor is closed.
class Deadline {
public:
    Deadline(Alarms& alarms, int fd, core::SteadyTime when);
    Deadline(const Deadline&) = delete;
    Deadline& operator=(const Deadline&) = delete;
    ~Deadline() { alarms_.cancel(id_); }

private:
    Alarms& alarms_;
    Alarms::Id id_;
};

}  // namespace uidnfs::ldap
