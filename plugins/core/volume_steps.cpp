// SPDX-License-Identifier: Apache-2.0
// How the steps of a Volume follow each other: forward while a Mount is wanted, else backwards.
// Pure.
#include "plugins/core/volume.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace uidnfs::plugins {
namespace {

core::Failure not_saved(std::string_view when, const core::Failure& why) {
    return {
        why.code,
        fmt::format("persist state failed when {}: {}", when, why.user_text),
        why.operator_text};
}

}  // namespace

void Volume::enter(Phase phase, Step step, core::SteadyTime deadline) {
    phase_ = phase;
    actions_.push_back(Do{step, deadline});
}

void Volume::save(Phase phase, LiveRecord::Phase as) {
    record_phase_ = as;
    left_on_disk_ = left_.size();
    told_on_disk_ = told_end_;
    enter(phase, Step::save_live);
}

void Volume::begin_mount() {
    // Of the mount before; an early refusal must not speak of it.
    source_.clear();
    identity_ = {};
    enter(Phase::preparing, Step::prepare, current_->command.deadline);
}

void Volume::take(Prepared event) {
    if (is_unwanted()) return complete(undo_.value_or(late(*current_)));
    if (!event.spec) return complete(std::move(event.spec).error());
    spec_ = std::move(*event.spec);
    source_ = spec_.source;
    identity_ = spec_.identity;
    save(Phase::intending, LiveRecord::Phase::mounting);
}

void Volume::take(Started event) {
    if (phase_ == Phase::adopting) return take_adopted(std::move(event.worker));
    if (!event.worker) {
        undo_ = is_unwanted() ? late(*current_) : std::move(event.worker).error();
        return clear();
    }
    worker_ = std::move(*event.worker);
    worker_ended_.reset();
    if (is_unwanted()) return begin_teardown();
    holders_.add(current_mount()->holder, current_->command.serial);
    save(Phase::recording, LiveRecord::Phase::mounted);
}

void Volume::take(Done event) {
    switch (phase_) {
        case Phase::defining:
            if (event.result) {
                rest_ = Rest::created;
                definition_before_.reset();
                return complete({});
            }
            definition_ = std::exchange(definition_before_, nullptr);
            return complete(not_saved("creating", event.result.error()));
        case Phase::forgetting:
            if (!event.result) {
                // On disk it is still there; saying otherwise would bring it back at the next
                // start.
                rest_ = Rest::created;
                return complete(not_saved("removing", event.result.error()));
            }
            definition_.reset();
            holders_.clear();
            reason_.clear();
            rest_ = Rest::absent;
            return complete({});
        case Phase::intending:
            if (!event.result) undo_ = not_saved("mounting", event.result.error());
            if (undo_ || is_unwanted()) return clear();
            return enter(Phase::starting, Step::start, current_->command.deadline);
        case Phase::recording: return after_recording(std::move(event.result));
        case Phase::holding: return after_holding(std::move(event.result));
        case Phase::ending:
            if (!event.result) {
                actions_.push_back(Note{Note::Kind::not_saved, event.result.error().user_text});
            }
            return stop_or_detach();
        case Phase::detaching:
            if (event.result) return detached();
            rest_ = Rest::failed;
            reason_ = event.result.error().user_text;
            return complete(core::Failure{
                event.result.error().code,
                fmt::format("error unmounting volume: {}", reason_),
                event.result.error().operator_text});
        case Phase::leaving:
            if (!event.result) {
                actions_.push_back(Note{Note::Kind::not_saved, event.result.error().user_text});
            }
            if (worker_ended_) return clear();
            // Whoever removes it waits until the data is safe; a Mount that was being undone, and
            // an Unmount, do not.
            if (current_ && std::holds_alternative<Drain>(current_->command.what)) {
                phase_ = Phase::flushing;
                return;
            }
            if (current_ && std::holds_alternative<Remove>(current_->command.what)) {
                phase_ = Phase::flushing;
                return;
            }
            if (current_mount()) {
                if (undo_) return complete(*std::exchange(undo_, std::nullopt));
                phase_ = Phase::flushing;
                return;
            }
            return complete({});
        case Phase::clearing:
            if (!event.result) {
                actions_.push_back(Note{Note::Kind::not_saved, event.result.error().user_text});
            }
            return cleared();
        case Phase::idle:
        case Phase::preparing:
        case Phase::starting:
        case Phase::stopping:
        case Phase::flushing:
        case Phase::adopting: return;  // REQUIRES of Do: no such step was asked for
    }
}

void Volume::after_recording(core::Outcome<void> result) {
    rest_ = Rest::mounted;
    const auto holder = current_mount()->holder;
    if (!result) {
        holders_.take_back(holder, current_->command.serial);
        undo_ = not_saved("mounting", result.error());
        return begin_teardown();
    }
    if (worker_ended_) {
        holders_.take_back(holder, current_->command.serial);
        actions_.push_back(Note{
            Note::Kind::worker_died, fmt::format("its worker ended: {}", worker_ended_->reason)});
        // Nobody holds it, so nobody would come to give it back.
        undo_ = ended_meanwhile();
        return begin_teardown();
    }
    if (is_unwanted()) push_front({holder, current_->command.serial});
    complete({});
}

/// REQUIRES: worker_ended_.
core::Failure Volume::ended_meanwhile() const {
    return {
        EIO,
        fmt::format(
            "cannot mount {}: its worker ended ({}); try again", source_, worker_ended_->reason
        )};
}

void Volume::after_holding(core::Outcome<void> result) {
    const auto* mount = current_mount();
    if (!mount) {  // somebody left: that stands whatever the disk says
        if (!result) actions_.push_back(Note{Note::Kind::not_saved, result.error().user_text});
        return complete({});
    }
    if (!result) {
        holders_.take_back(mount->holder, current_->command.serial);
        return complete(not_saved("mounting", result.error()));
    }
    if (worker_ended_) {
        holders_.take_back(mount->holder, current_->command.serial);
        return complete(ended_meanwhile());
    }
    if (is_unwanted()) push_front({mount->holder, current_->command.serial});
    complete({});
}

void Volume::take_adopted(core::Outcome<Worker> worker) {
    phase_ = Phase::idle;
    if (worker) {
        // The policy was asked when the mount was made; whoever finds it again asks nothing.
        auto rule = worker_ ? std::move(worker_->rule) : std::string();
        worker_ = std::move(*worker);
        if (worker_->rule.empty()) worker_->rule = std::move(rule);
        worker_ended_.reset();
        told_end_.clear();
    }
    switch (record_phase_) {
        case LiveRecord::Phase::mounted:
            rest_ = Rest::mounted;
            if (!worker) {
                rest_ = Rest::failed;
                reason_ = told_end_.empty() ? worker.error().user_text : told_end_;
                // What is left of it must be detached before it can be mounted again.
                worker_ended_ = Ended{reason_};
                if (told_end_.empty()) {
                    actions_.push_back(Note{
                        Note::Kind::worker_died,
                        fmt::format("its worker ended: {}; lost: {}", reason_, kUnseenEnd)});
                }
                told_end_ = reason_;
            }
            return complete({});
        case LiveRecord::Phase::detached:
            if (!worker && worker_) worker_ended_ = Ended{worker.error().user_text, {kUnseenEnd}};
            if (!worker) return clear();
            rest_ = Rest::detached;
            return complete({});
        case LiveRecord::Phase::mounting:
        case LiveRecord::Phase::unmounting:
            // Nobody got an answer, or everybody was gone.
            holders_.clear();
            if (worker) return begin_teardown();
            return clear();
    }
}

void Volume::take(WorkerEnded event) {
    const auto left = std::find_if(left_.begin(), left_.end(), [&](const Worker& one) {
        return one.id == event.worker;
    });
    if (left != left_.end()) return one_of_left_ended(left, std::move(event.ended));
    if (!worker_ || worker_->id != event.worker || worker_ended_) return;
    worker_ended_ = std::move(event.ended);
    if (phase_ == Phase::flushing) return clear();
    if (phase_ != Phase::idle) return;  // the running step finds out
    settle();
    run_next();
}

void Volume::one_of_left_ended(std::vector<Worker>::iterator worker, Ended ended) {
    left_.erase(worker);
    tell_lost(ended);
    if (phase_ == Phase::flushing && !worker_ && left_.empty()) return clear();  // a Drain waits
    if (phase_ != Phase::idle) return;                                           // settle() comes
    settle();
    run_next();
}

/// Between commands: what the end of a worker means.
void Volume::settle() {
    if (phase_ != Phase::idle) return;
    if (worker_ended_ && rest_ == Rest::detached) return clear();
    if (worker_ended_ && rest_ == Rest::mounted) {
        rest_ = Rest::failed;
        reason_ = fmt::format("its worker ended: {}", worker_ended_->reason);
        actions_.push_back(Note{Note::Kind::worker_died, reason_});
        told_end_ = reason_;
    }
    if (left_on_disk_ == left_.size() && told_on_disk_ == told_end_) return;
    if (worker_) return save(Phase::holding, record_phase_);
    erase_or_save(Phase::holding);
}

void Volume::begin_teardown() {
    // The record says that it is to go, so that a daemon that dies now finishes it at its start.
    save(Phase::ending, LiveRecord::Phase::unmounting);
}

void Volume::stop_or_detach() {
    if (worker_ended_) return enter(Phase::detaching, Step::detach, now_ + times_.flush);
    enter(Phase::stopping, Step::stop, now_ + times_.stop);
}

void Volume::take(Stopped event) {
    if (!event.ended) {
        use_ = event.ended.error().code == EBUSY ? Use::goes_on : Use::unknown;
        if (rest_ != Rest::detached) tell_aborted(event.ended.error());
        return enter(Phase::detaching, Step::detach, now_ + times_.flush);
    }
    worker_ended_ = std::move(*event.ended);
    clear();
}

void Volume::tell_aborted(const core::Failure& why) {
    actions_.push_back(Note{
        Note::Kind::aborted,
        fmt::format(
            "taken away while {}: {}",
            use_ == Use::goes_on ? "programs still use it" : "its worker still flushes",
            why.user_text
        )});
}

void Volume::detached() {
    if (worker_ended_) return clear();
    if (use_ == Use::goes_on) {
        // Nothing is on its way to the server: nobody has to wait for it.
        left_.push_back(*std::exchange(worker_, std::nullopt));
        return clear();
    }
    rest_ = Rest::detached;
    save(Phase::leaving, LiveRecord::Phase::detached);
}

void Volume::clear() {
    if (worker_ended_) tell_lost(*worker_ended_);
    told_end_.clear();
    erase_or_save(Phase::clearing);
}

void Volume::tell_lost(Ended& ended) {
    for (const auto& lost : ended.lost) actions_.push_back(Note{Note::Kind::data_lost, lost});
    ended.lost.clear();
}

/// The record, when there is no worker but those that are left.
void Volume::erase_or_save(Phase phase) {
    if (!left_.empty()) return save(phase, LiveRecord::Phase::detached);
    left_on_disk_ = 0;
    told_on_disk_ = told_end_;
    enter(phase, Step::erase_live);
}

/// No worker, no mount, no record but of those that are left.
void Volume::cleared() {
    worker_.reset();
    worker_ended_.reset();
    rest_ = definition_ ? Rest::created : Rest::absent;
    if (!current_) {
        if (lifetime_ == Lifetime::until_unmounted && definition_) return forget();
        return complete({});
    }
    const auto& what = current_->command.what;
    if (current_mount()) {
        if (undo_) return complete(*std::exchange(undo_, std::nullopt));
        return begin_mount();
    }
    if (std::holds_alternative<Drain>(what) && !left_.empty()) {
        phase_ = Phase::flushing;
        return;
    }
    if (std::holds_alternative<Remove>(what)) return forget();
    const bool is_last = !std::holds_alternative<TakeBack>(what);
    if (is_last && lifetime_ == Lifetime::until_unmounted && definition_) return forget();
    complete({});
}

void Volume::forget() { enter(Phase::forgetting, Step::erase_definition); }

}  // namespace uidnfs::plugins
