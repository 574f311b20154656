// SPDX-License-Identifier: Apache-2.0
// CallerWatch: lets dying processes go. The kernel sends one INTERRUPT for a request at most, none
// to a process in exit, and then waits for the answer however long that takes; so the callers of
// all requests that wait long are looked at in /proc. Owned by the Session; reactor's thread only.
#pragma once

#include "core/reactor.hpp"
#include "fuse/caller_state.hpp"
#include "fuse/notifier.hpp"
#include "fuse/proc_files.hpp"
#include "fuse/requests.hpp"
#include "fuse/status.hpp"

#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace uidnfs::fuse {

/// `silent`: calls wait and nothing has come from the server for a while (about a second).
enum class Server : std::uint8_t { answering, silent };

class CallerWatch {
public:
    struct Options {
        core::SteadyDuration after = std::chrono::milliseconds(300);  ///< a request's age
        core::SteadyDuration every = std::chrono::milliseconds(250);
    };

    /// `server`: a process in exit() waits in FLUSH until its data is on the server, so that others
    /// see what a shell redirection wrote once its command has ended; it is let go only when the
    /// server is silent. `notifier`, which may be nullptr, is not held up by the pages of a process
    /// that is no more.
    CallerWatch(
        core::Reactor& reactor,
        Requests& requests,
        ProcFiles& proc,
        const core::Clock& clock,
        std::function<Server()> server,
        const Notifier* notifier,
        Options options
    );
    CallerWatch(const CallerWatch&) = delete;
    CallerWatch& operator=(const CallerWatch&) = delete;
    ~CallerWatch() { *self_ = nullptr; }

    /// A request of thread `tid` begins to wait. The timer runs only while there are any.
    void wake(std::uint32_t tid) {
        if (timer_state_ == Timer::off) arm(options_.after);
        if (!dying_.empty()) look_soon(tid);
    }
    /// FUSE_INTERRUPT for the request `unique`: some signal arrived at its caller.
    void interrupted(std::uint64_t unique);

private:
    void arm(core::SteadyDuration delay);
    void tick();
    void look(Request& request);
    /// A process that ends closes its files one after the other and waits for each: after the first
    /// it must not take a turn of the timer for every one.
    void look_soon(std::uint32_t tid);
    CallerState state_of(const Request& request);
    CallerState state_of_hidden(const Request& request);
    bool is_left_behind(const Request& request) const;

    core::Reactor& reactor_;
    boost::asio::steady_timer timer_;
    Requests& requests_;
    ProcFiles& proc_;
    const core::Clock& clock_;
    std::function<Server()> server_;
    const Notifier* notifier_;
    Options options_;
    enum class Timer : std::uint8_t { off, running } timer_state_ = Timer::off;
    struct Dying {
        std::uint32_t tid;
        core::SteadyTime released;
    };
    std::vector<Dying> dying_;            ///< released a moment ago, each once
    std::shared_ptr<CallerWatch*> self_;  // a timer that is due checks that we still live
};

}  // namespace uidnfs::fuse
