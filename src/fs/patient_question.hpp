// SPDX-License-Identifier: Apache-2.0
// PatientQuestion: something asked of the server that nobody waits long for, because an older
// answer will do. One is under way at a time, so that a program which asks every few seconds (df,
// monitoring) leaves nothing behind while the server is silent. Owned by Filesystem; reactor's
// thread only.
#pragma once

#include "core/event.hpp"
#include "fs/timed.hpp"

#include <chrono>
#include <utility>

namespace uidnfs::fs {

class PatientQuestion {
public:
    explicit PatientQuestion(core::Reactor& reactor) : reactor_(reactor), ended_(reactor) {}

    enum class Answer : std::uint8_t { came, late };
    /// `make()` gives the task that asks and keeps the answer; it is started unless one is under
    /// way. `late` after kPatience, counted from when it was asked.
    template <class F>
    core::Task<Answer> ask(F make) {
        auto left = core::SteadyDuration(kPatience);
        if (state_ == State::idle) {
            state_ = State::asking;
            since_ = std::chrono::steady_clock::now();
            core::spawn(run(make()));
        } else {
            left -= std::chrono::steady_clock::now() - since_;
        }
        if (state_ == State::asking && left > core::SteadyDuration::zero()) {
            auto waiting = wait();
            co_await within(reactor_, left, std::move(waiting));
        }
        co_return state_ == State::idle ? Answer::came : Answer::late;
    }

private:
    core::Task<void> run(core::Task<void> asking) {
        co_await asking;
        state_ = State::idle;
        ended_.notify_all();
    }
    core::Task<Answer> wait() {
        while (state_ == State::asking) co_await ended_.wait();
        co_return Answer::came;
    }

    core::Reactor& reactor_;
    core::Event ended_;
    enum class State : std::uint8_t { idle, asking } state_ = State::idle;
    core::SteadyTime since_;
};

}  // namespace uidnfs::fs
