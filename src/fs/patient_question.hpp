// SPDX-License-Identifier: Apache-2.0
// PatientQuestion: something asked of the server that nobody waits long for, because an older
// answer will do. One is under way at a time, so that a program which asks every few seconds (df,
// monitoring) leaves nothing behind while the server is silent. Owned by Filesystem; reactor's
// thread only.
#pragma once

#include "core/event.hpp"
#include "fs/timed.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace uidnfs::fs {

/// How many questions of a mount are late: while there are any, nobody waits for the others either,
/// so that a program which asks several things (df) waits once.
struct LateQuestions {
    unsigned count = 0;
};

class PatientQuestion {
public:
    PatientQuestion(core::Reactor& reactor, LateQuestions& late)
        : reactor_(reactor), late_(late), ended_(reactor) {}

    enum class Answer : std::uint8_t { came, late };
    /// `make()` gives the task that asks and keeps the answer; it is started unless one is under
    /// way. `late` after kPatience, counted from when it was asked.
    template <class F>
    core::Task<Answer> ask(F make) {
        if (state_ == State::idle) {
            state_ = State::asking;
            since_ = std::chrono::steady_clock::now();
            core::spawn(run(make()));
        }
        auto left = kPatience - (std::chrono::steady_clock::now() - since_);
        if (late_.count > 0) left = std::min<core::SteadyDuration>(left, kGlance);
        if (state_ != State::idle && left > core::SteadyDuration::zero()) {
            auto waiting = wait();
            co_await within(reactor_, left, std::move(waiting));
        }
        if (state_ == State::idle) co_return Answer::came;
        if (state_ == State::asking) {
            state_ = State::late;
            ++late_.count;
        }
        co_return Answer::late;
    }

private:
    /// A server that is back answers in this time.
    static constexpr auto kGlance = std::chrono::milliseconds(20);

    core::Task<void> run(core::Task<void> asking) {
        co_await asking;
        if (state_ == State::late) --late_.count;
        state_ = State::idle;
        ended_.notify_all();
    }
    core::Task<Answer> wait() {
        while (state_ != State::idle) co_await ended_.wait();
        co_return Answer::came;
    }

    core::Reactor& reactor_;
    LateQuestions& late_;
    core::Event ended_;
    enum class State : std::uint8_t { idle, asking, late } state_ = State::idle;
    core::SteadyTime since_;
};

}  // namespace uidnfs::fs
