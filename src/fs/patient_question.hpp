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
#include <memory>
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
        : reactor_(reactor), late_(late), asked_(std::make_shared<Asked>(reactor)) {}

    enum class Answer : std::uint8_t { came, late };
    /// `make()` gives the task that asks and keeps the answer; it is started unless one is under
    /// way. `late` after kPatience, counted from when it was asked.
    template <class F>
    core::Task<Answer> ask(F make) {
        auto& state = asked_->state;
        if (state == State::idle) {
            state = State::asking;
            asked_->since = std::chrono::steady_clock::now();
            core::spawn(run(make()));
        }
        auto left = kPatience - (std::chrono::steady_clock::now() - asked_->since);
        if (late_.count > 0) left = std::min<core::SteadyDuration>(left, kGlance);
        if (state != State::idle && left > core::SteadyDuration::zero()) {
            const auto waiter = std::make_shared<Waiter>();
            auto waiting = wait(asked_, waiter);
            co_await within(reactor_, left, std::move(waiting));
            // Nobody is left waiting for a server that may never answer.
            waiter->patience = Patience::over;
            if (state != State::idle) asked_->ended.notify_all();
        }
        if (state == State::idle) co_return Answer::came;
        if (state == State::asking) {
            state = State::late;
            ++late_.count;
        }
        co_return Answer::late;
    }

private:
    /// A server that is back answers in this time.
    static constexpr auto kGlance = std::chrono::milliseconds(20);

    enum class State : std::uint8_t { idle, asking, late };
    enum class Patience : std::uint8_t { left, over };
    /// Shared with those who wait: they may end after this object.
    struct Asked {
        explicit Asked(core::Reactor& reactor) : ended(reactor) {}
        core::Event ended;
        State state = State::idle;
        core::SteadyTime since;
    };
    struct Waiter {
        Patience patience = Patience::left;
    };

    core::Task<void> run(core::Task<void> asking) {
        co_await asking;
        if (asked_->state == State::late) --late_.count;
        asked_->state = State::idle;
        asked_->ended.notify_all();
    }
    static core::Task<Answer> wait(
        std::shared_ptr<Asked> asked, std::shared_ptr<const Waiter> waiter
    ) {
        while (asked->state != State::idle && waiter->patience == Patience::left) {
            co_await asked->ended.wait();
        }
        co_return asked->state == State::idle ? Answer::came : Answer::late;
    }

    core::Reactor& reactor_;
    LateQuestions& late_;
    std::shared_ptr<Asked> asked_;
};

}  // namespace uidnfs::fs
