// SPDX-License-Identifier: Apache-2.0
// CallerWatch: lets dying processes go. The kernel sends one INTERRUPT for a request at most, none
// to a process in exit, and then waits for the answer however long that takes; so the callers of
// all requests that wait long are looked at in /proc. Owned by the Session; reactor's thread only.
#pragma once

#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/fd.hpp"
#include "core/reactor.hpp"
#include "fuse/caller_state.hpp"
#include "fuse/requests.hpp"
#include "fuse/status.hpp"

namespace uidnfs::fuse {

/// `silent`: calls wait and nothing has come from the server for a while (about a second).
enum class Server : std::uint8_t { answering, silent };

class CallerWatch {
public:
    struct Options {
        std::string proc = "/proc";
        core::SteadyDuration after = std::chrono::milliseconds(300);  ///< a request's age
        core::SteadyDuration every = std::chrono::milliseconds(250);
    };

    /// `server`: a process in exit() waits in FLUSH until its data is on the server, so that others
    /// see what a shell redirection wrote once its command has ended; it is let go only when the
    /// server is silent.
    CallerWatch(
        core::Reactor& reactor,
        Requests& requests,
        const core::Clock& clock,
        std::function<Server()> server,
        Options options
    );
    CallerWatch(const CallerWatch&) = delete;
    CallerWatch& operator=(const CallerWatch&) = delete;
    ~CallerWatch() { *self_ = nullptr; }

    /// A request begins to wait. The timer runs only while there are any.
    void wake() {
        if (timer_state_ == Timer::off) arm(options_.after);
    }
    /// FUSE_INTERRUPT for the request `unique`: some signal arrived at its caller.
    void interrupted(std::uint64_t unique);

    Callers callers() const noexcept { return callers_; }

private:
    void arm(core::SteadyDuration delay);
    void tick();
    void look(Request& request);
    CallerState state_of(const Request& request);
    /// Empty when there is no such file.
    std::string_view read(std::uint32_t tid, const char* file);
    void note_hidden(const Request& request);

    boost::asio::steady_timer timer_;
    Requests& requests_;
    const core::Clock& clock_;
    std::function<Server()> server_;
    Options options_;
    core::Fd proc_;
    enum class Timer : std::uint8_t { off, running } timer_state_ = Timer::off;
    Callers callers_ = Callers::visible;
    std::string text_;                    // of the file that was read last
    std::shared_ptr<CallerWatch*> self_;  // a timer that is due checks that we still live
};

}  // namespace uidnfs::fuse
