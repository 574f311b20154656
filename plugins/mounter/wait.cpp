// SPDX-License-Identifier: Apache-2.0
#include "plugins/mounter/wait.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>

#include <functional>
#include <optional>
#include <utility>

namespace uidnfs::plugins::mounter {

struct Ready::State {
    State(core::Reactor& owner, core::SteadyTime until, std::stop_token stop)
        : reactor(owner),
          descriptor(owner.io()),
          timer(owner.io()),
          deadline(until),
          unwanted(std::move(stop)) {}

    enum class End { none, readable, over } end = End::none;
    core::Reactor& reactor;
    boost::asio::posix::stream_descriptor descriptor;
    boost::asio::steady_timer timer;
    core::SteadyTime deadline;
    std::stop_token unwanted;
    std::optional<std::stop_callback<std::function<void()>>> on_unwanted;
    std::coroutine_handle<> coroutine;

    void finish(End how) {
        if (end != End::none) return;
        end = how;
        boost::system::error_code ignored;
        descriptor.close(ignored);
        timer.cancel();
        reactor.schedule(coroutine);
    }
};

Ready::Ready(core::Reactor& reactor, int fd, core::SteadyTime deadline, std::stop_token unwanted)
    : state_(std::make_shared<State>(reactor, deadline, std::move(unwanted))) {
    // Its own duplicate: the caller's may be closed, and its number used again, at any time.
    boost::system::error_code ignored;
    state_->descriptor.assign(::fcntl(fd, F_DUPFD_CLOEXEC, 0), ignored);
}

void Ready::await_suspend(std::coroutine_handle<> coroutine) {
    using End = State::End;
    state_->coroutine = coroutine;
    if (!state_->descriptor.is_open() || state_->unwanted.stop_requested()) {
        return state_->finish(End::over);
    }
    state_->descriptor.async_wait(
        boost::asio::posix::stream_descriptor::wait_read,
        [state = state_](const boost::system::error_code& error) {
            state->finish(error ? End::over : End::readable);
        }
    );
    if (state_->deadline != core::SteadyTime::max()) {
        state_->timer.expires_at(state_->deadline);
        state_->timer.async_wait([state = state_](const boost::system::error_code& error) {
            if (!error) state->finish(End::over);
        });
    }
    state_->on_unwanted.emplace(
        state_->unwanted, std::function<void()>([weak = std::weak_ptr(state_)] {
            if (const auto state = weak.lock()) state->finish(End::over);
        })
    );
}

bool Ready::await_resume() const noexcept { return state_->end == State::End::readable; }

}  // namespace uidnfs::plugins::mounter
