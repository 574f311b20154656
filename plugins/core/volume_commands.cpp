// SPDX-License-Identifier: Apache-2.0
// What each command of a Volume begins, by the state that it finds. Pure.
#include "plugins/core/volume.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <utility>

namespace uidnfs::plugins {

void Volume::run(const Create& command) {
    const bool is_free =
        rest_ == Rest::absent || rest_ == Rest::created || (rest_ == Rest::failed && !worker_);
    const bool is_same = definition_ && definition_->same_as(*command.definition);
    if (is_same) return complete({});
    if (!is_free) {
        return complete(core::Failure{
            EBUSY,
            fmt::format(
                "cannot change volume {}: it is mounted with other options; unmount it first",
                key_.name
            )});
    }
    definition_before_ = std::exchange(definition_, command.definition);
    enter(Phase::defining, Step::save_definition);
}

void Volume::run(const Mount& command) {
    switch (rest_) {
        case Rest::absent:
            return complete(core::Failure{
                ENOENT, fmt::format("Volume '{}' must be created before being mounted", key_.name)}
            );
        case Rest::created: return begin_mount();
        case Rest::detached: return begin_teardown();  // its bytes may have arrived by now
        case Rest::failed:
            if (worker_) return begin_teardown();  // then begin_mount()
            return begin_mount();
        case Rest::mounted: break;
    }
    const auto record = holders_.add(command.holder, current_->command.serial);
    if (record == Holders::Record::same) return complete({});
    save(Phase::holding, LiveRecord::Phase::mounted);
}

void Volume::run(const Unmount& command) {
    if (rest_ == Rest::absent) {
        return complete(core::Failure{ENOENT, fmt::format("Volume '{}' not found", key_.name)});
    }
    // An Unmount that is sent again, or of somebody who has it not, gives nothing back.
    const bool is_anothers = !holders_.is_empty() && !holders_.has(command.holder);
    const bool is_at_rest = rest_ == Rest::created && lifetime_ == Lifetime::until_removed;
    if (is_anothers || is_at_rest) current_->did = Answer::Did::nothing;
    released(holders_.release(command.holder));
}

void Volume::run(const Remove&) {
    holders_.clear();  // the platform has none: what is left are Unmounts that got lost
    if (rest_ == Rest::absent) return complete({});
    if (worker_) return begin_teardown();
    forget();
}

void Volume::run(const Drain&) {
    holders_.clear();
    if (worker_ && rest_ != Rest::detached) return begin_teardown();
    if (rest_ == Rest::detached) {
        phase_ = Phase::flushing;
        return;
    }
    if (!left_.empty()) {
        phase_ = Phase::flushing;
        return;
    }
    current_->did = Answer::Did::nothing;
    complete({});
}

void Volume::run(const TakeBack& command) {
    if (!holders_.is_open(command.holder, command.serial)) return complete({});
    released(holders_.take_back(command.holder, command.serial));
}

void Volume::run(const Delivered& command) {
    const auto record = holders_.confirm(command.holder, command.serial);
    const bool is_live = rest_ == Rest::mounted || (rest_ == Rest::failed && worker_);
    if (record == Holders::Record::same || !is_live) return complete({});
    save(Phase::holding, record_phase_);
}

/// Ends the current Unmount or TakeBack: somebody needs the volume no more, or less.
void Volume::released(Holders::Record record) {
    const bool is_platforms = std::holds_alternative<Unmount>(current_->command.what);
    switch (rest_) {
        case Rest::absent:
        case Rest::detached: return complete({});
        case Rest::created:
            if (is_platforms && lifetime_ == Lifetime::until_unmounted) return forget();
            return complete({});
        case Rest::mounted:
        case Rest::failed: break;
    }
    if (!holders_.is_empty()) {
        if (record == Holders::Record::same) return complete({});
        return save(Phase::holding, record_phase_);
    }
    if (worker_) return begin_teardown();
    cleared();
}

}  // namespace uidnfs::plugins
