// SPDX-License-Identifier: Apache-2.0
// Ready: a coroutine's wait for a descriptor, with an end and a way to be called off.
// between_looks(): its wait for anything else.
#pragma once

#include "core/clock.hpp"
#include "core/growing_pauses.hpp"
#include "core/reactor.hpp"

#include <chrono>
#include <coroutine>
#include <memory>
#include <stop_token>

namespace uidnfs::plugins::mounter {

/// Between two looks at what has no event: hundreds of requests may look at the same time.
constexpr core::GrowingPauses between_looks() noexcept {
    return {std::chrono::milliseconds(2), std::chrono::milliseconds(50)};
}

/// `co_await Ready(reactor, fd, deadline, unwanted)`: true when `fd` is readable, or its peer is
/// gone; false when `deadline` has come or `unwanted` was asked for first. The descriptor stays the
/// caller's and may be closed afterwards.
class Ready {
public:
    Ready(core::Reactor& reactor, int fd, core::SteadyTime deadline, std::stop_token unwanted = {});

    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine);
    bool await_resume() const noexcept;

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace uidnfs::plugins::mounter
