// SPDX-License-Identifier: Apache-2.0
// Events, the queue and answers. What each command does is in volume_commands.cpp, how its steps
// follow each other in volume_steps.cpp.
#include "plugins/core/volume.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace uidnfs::plugins {
namespace {

constexpr std::string_view kInUse =
    "it is out of this host's mounts, and programs still use it: a container that has it, or an "
    "open file; end them";

}  // namespace

std::string_view to_string(State state) noexcept {
    switch (state) {
        case State::absent: return "absent";
        case State::created: return "created";
        case State::mounting: return "mounting";
        case State::mounted: return "mounted";
        case State::unmounting: return "unmounting";
        case State::detached: return "detached";
        case State::failed: return "failed";
    }
    return "unknown";
}

std::string_view to_string(Step step) noexcept {
    switch (step) {
        case Step::save_definition: return "save_definition";
        case Step::erase_definition: return "erase_definition";
        case Step::prepare: return "prepare";
        case Step::save_live: return "save_live";
        case Step::erase_live: return "erase_live";
        case Step::start: return "start";
        case Step::stop: return "stop";
        case Step::detach: return "detach";
        case Step::adopt: return "adopt";
    }
    return "unknown";
}

Volume::Volume(VolumeKey key, Lifetime lifetime, Times times)
    : key_(std::move(key)),
      lifetime_(lifetime),
      times_(times),
      holders_(
          lifetime == Lifetime::until_removed ? Holders::Counting::each_mount
                                              : Holders::Counting::once
      ) {}

Actions Volume::restore(DefinitionPtr definition, std::optional<LiveRecord> record) {
    definition_ = std::move(definition);
    rest_ = definition_ ? Rest::created : Rest::absent;
    if (record) {
        record_phase_ = record->phase;
        source_ = record->source;
        identity_ = record->identity;
        holders_.restore(record->holders);
        left_ = std::move(record->left);
        left_on_disk_ = left_.size();
        told_end_ = record->told_end;
        told_on_disk_ = told_end_;
        const bool is_left = std::find(left_.begin(), left_.end(), record->worker) != left_.end();
        if (record->worker.id.pid != 0 && !is_left) worker_ = std::move(record->worker);
        enter(Phase::adopting, Step::adopt);
    }
    return std::exchange(actions_, {});
}

Actions Volume::handle(Event event, core::SteadyTime now) {
    now_ = now;
    std::visit([this](auto&& what) { take(std::move(what)); }, std::move(event));
    return std::exchange(actions_, {});
}

State Volume::state() const noexcept {
    switch (phase_) {
        case Phase::preparing:
        case Phase::intending:
        case Phase::starting:
        case Phase::recording:
        case Phase::adopting: return State::mounting;
        case Phase::ending:
        case Phase::stopping:
        case Phase::detaching:
        case Phase::leaving:
        case Phase::clearing: return State::unmounting;
        case Phase::idle:
        case Phase::defining:
        case Phase::forgetting:
        case Phase::holding:
        case Phase::flushing: break;
    }
    if (is_only_left()) return State::detached;
    switch (rest_) {
        case Rest::absent: return State::absent;
        case Rest::created: return State::created;
        case Rest::mounted: return State::mounted;
        case Rest::detached: return State::detached;
        case Rest::failed: return State::failed;
    }
    return State::failed;
}

std::string Volume::mountpoint() const {
    return rest_ == Rest::mounted && worker_ ? worker_->mountpoint : std::string();
}

LiveRecord Volume::record() const {
    const bool is_alone = !worker_ || worker_ended_;
    const bool is_last_left =
        is_alone && !left_.empty() && record_phase_ == LiveRecord::Phase::detached;
    const auto worker = is_last_left ? left_.back() : worker_.value_or(Worker{});
    return {record_phase_, worker, source_, identity_, holders_.record(), left_, told_end_};
}

bool Volume::is_only_left() const noexcept { return !left_.empty() && rest_ == Rest::created; }

const std::string& Volume::reason() const noexcept {
    static const std::string in_use(kInUse);
    return is_only_left() && reason_.empty() ? in_use : reason_;
}

std::optional<core::SteadyTime> Volume::next_deadline() const noexcept {
    std::optional<core::SteadyTime> next;
    const auto consider = [&](const Pending& pending) {
        if (pending.listener == Listener::gone) return;
        if (!next || pending.command.deadline < *next) next = pending.command.deadline;
    };
    if (current_) consider(*current_);
    for (const auto& pending : queue_) consider(pending);
    return next;
}

bool Volume::is_gone() const noexcept {
    return rest_ == Rest::absent && phase_ == Phase::idle && queue_.empty() && left_.empty();
}

void Volume::take(Submitted event) {
    const bool is_asked = !std::holds_alternative<Delivered>(event.command.what);
    queue_.push_back({std::move(event.command), is_asked ? Listener::waiting : Listener::gone});
    run_next();
}

void Volume::take(HungUp event) {
    if (current_ && current_->command.serial == event.serial) {
        current_->listener = Listener::gone;
        if (current_mount()) leave_mount(*current_);
        return;
    }
    const auto queued = std::find_if(queue_.begin(), queue_.end(), [&](const Pending& pending) {
        return pending.command.serial == event.serial;
    });
    if (queued == queue_.end()) return;
    // A Mount that nobody waits for is not begun. An Unmount stands: its sender is done with it.
    if (std::holds_alternative<Mount>(queued->command.what)) {
        queue_.erase(queued);
    } else {
        queued->listener = Listener::gone;
    }
}

void Volume::take(Tick) {
    if (current_ && current_->listener == Listener::waiting && current_->command.deadline <= now_) {
        answer(*current_, late(*current_));
        const bool is_drain = std::holds_alternative<Drain>(current_->command.what);
        if (current_mount()) leave_mount(*current_);
        // What it waits for goes on by itself, and others need not wait for it too.
        if (is_drain && phase_ == Phase::flushing) complete({});
    }
    for (auto it = queue_.begin(); it != queue_.end();) {
        if (it->listener == Listener::gone || it->command.deadline > now_) {
            ++it;
            continue;
        }
        answer(*it, late(*it));
        it = std::holds_alternative<Mount>(it->command.what) ? queue_.erase(it) : std::next(it);
    }
}

/// The current Mount is wanted by nobody: end what waits on others. The steps undo what was done.
void Volume::leave_mount(Pending& pending) {
    if (!undo_) undo_ = late(pending);
    if (phase_ == Phase::preparing || phase_ == Phase::starting) actions_.push_back(Cancel{});
    if (phase_ == Phase::flushing) complete(*undo_);
}

core::Failure Volume::late(const Pending& pending) const {
    const auto what = definition_ ? definition_->source : key_.name;
    const auto& command = pending.command.what;
    if (std::holds_alternative<Create>(command) || std::holds_alternative<Remove>(command)) {
        return {
            ETIMEDOUT,
            fmt::format(
                "cannot {} volume {}: it is still busy with an earlier command, and this one "
                "waits; "
                "look at it again later",
                std::holds_alternative<Create>(command) ? "create" : "remove",
                key_.name
            )};
    }
    if (std::holds_alternative<Drain>(command) && phase_ == Phase::flushing && !worker_) {
        return {EBUSY, fmt::format("error unmounting volume: {}: {}", key_.name, kInUse)};
    }
    if (!std::holds_alternative<Mount>(command)) {
        return {
            ETIMEDOUT,
            fmt::format(
                "error unmounting volume: {} is still busy with an earlier command; it goes on and "
                "need not be asked again",
                key_.name
            )};
    }
    const bool is_current = current_ && &*current_ == &pending;
    if (is_current && undo_) return *undo_;  // why it failed is known, and is being undone
    std::string_view why;
    if (!is_current) {
        why = "an earlier command for this volume is still at work; try again";
    } else if (phase_ == Phase::flushing || rest_ == Rest::detached) {
        why = "data of its last mount is still on the way to the server; try again";
    } else if (phase_ == Phase::preparing) {
        why = "the identity was not resolved in time; check the directory servers";
    } else if (phase_ == Phase::intending || phase_ == Phase::recording || phase_ == Phase::holding) {
        why = "what this host must remember of it was not saved in time; check its disk";
    } else if (phase_ == Phase::starting) {
        why = "the server did not answer in time; check that it is up and reachable";
    } else {
        why = "its last mount is still being taken away; try again";
    }
    return {ETIMEDOUT, fmt::format("cannot mount {}: {}", what, why)};
}

void Volume::run_next() {
    while (phase_ == Phase::idle && !current_ && !queue_.empty()) {
        current_ = std::move(queue_.front());
        queue_.pop_front();
        undo_.reset();
        const auto what = current_->command.what;  // the command may end, and with it current_
        std::visit([this](const auto& command) { run(command); }, what);
    }
}

void Volume::complete(core::Outcome<void> result) {
    phase_ = Phase::idle;
    if (current_) {
        if (current_mount()) reason_ = result ? std::string() : result.error().user_text;
        answer(*current_, std::move(result));
        current_.reset();
    }
    undo_.reset();
    settle();
    run_next();
}

void Volume::answer(Pending& pending, core::Outcome<void> result) {
    if (std::exchange(pending.listener, Listener::gone) == Listener::gone) return;
    actions_.push_back(Answer{pending.command.serial, std::move(result), pending.did});
}

void Volume::push_front(TakeBack command) {
    Command what{command.serial, core::SteadyTime::max(), std::move(command)};
    queue_.push_front({std::move(what), Listener::gone});
}

const Mount* Volume::current_mount() const noexcept {
    return current_ ? std::get_if<Mount>(&current_->command.what) : nullptr;
}

bool Volume::is_unwanted() const noexcept {
    return current_mount() && current_->listener == Listener::gone;
}

}  // namespace uidnfs::plugins
