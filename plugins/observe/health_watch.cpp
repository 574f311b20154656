// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/health_watch.hpp"

#include "core/log.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace uidnfs::plugins {
namespace {

using std::chrono::steady_clock;
using std::chrono::system_clock;

void log_change(const MountedVolume& volume, const MountHealth& health) {
    const auto& name = volume.key.name;
    if (health.health() == Health::healthy) {
        core::log::info("volume {} ({}): healthy again", name, volume.source);
    } else {
        core::log::warning(
            "volume {} ({}): {}: {}",
            name,
            volume.source,
            to_string(health.health()),
            health.reason()
        );
    }
}

}  // namespace

HealthWatch::HealthWatch(Deps deps, Limits limits)
    : deps_(std::move(deps)), limits_(limits), timer_(deps_.reactor.io()) {}

HealthWatch::~HealthWatch() = default;

void HealthWatch::start() { look_soon(); }

void HealthWatch::decided(const Decision& decision) {
    // It has bytes that its server does not take; when it was asked last it may have been healthy.
    if (decision.event == Decision::Event::abort) ask_soon(decision.volume);
    look_soon();
}

void HealthWatch::ask_soon(const VolumeKey& volume) {
    const auto found = entries_.find(volume);
    if (found == entries_.end()) return;
    plan(found->second, {});  // also after an answer that is on its way
    look_soon();
}

core::Task<> HealthWatch::ask_last(VolumeKey volume) {
    if (!entries_.contains(volume)) look();  // it may be of an instant
    const auto found = entries_.find(volume);
    if (found == entries_.end()) co_return;
    auto& entry = found->second;
    if (entry.asked == Entry::Asked::now || entry.health.health() != Health::healthy) co_return;
    mark_asked(entry);
    auto question = ask(entry.volume, limits_.last_answer, alive_);
    co_await question;
}

const MountHealth* HealthWatch::find(const VolumeKey& volume) const {
    const auto found = entries_.find(volume);
    return found == entries_.end() ? nullptr : &found->second.health;
}

std::size_t HealthWatch::count(Health health) const {
    return static_cast<std::size_t>(std::count_if(
        entries_.begin(),
        entries_.end(),
        [health](const auto& item) { return item.second.health.health() == health; }
    ));
}

/// Many decisions of one turn are one look; and the state machine has its new state by then.
void HealthWatch::look_soon() {
    if (std::exchange(look_, Look::posted) == Look::posted) return;
    deps_.reactor.post([this, alive = std::weak_ptr<void>(alive_)] {
        if (alive.expired()) return;
        look_ = Look::idle;
        look_at_ = std::min(look_at_, looked_at_ + limits_.rest);
        ask_due();
    });
}

void HealthWatch::look() {
    const auto now = steady_clock::now();
    looked_at_ = now;
    look_at_ = now + limits_.look;
    std::set<VolumeKey> there;
    for (auto& volume : deps_.mounted()) {
        there.insert(volume.key);
        auto found = entries_.find(volume.key);
        if (found != entries_.end() && found->second.volume.worker.id == volume.worker.id) continue;
        if (found != entries_.end()) forget(found);
        const auto key = volume.key;
        Entry entry{std::move(volume), MountHealth(system_clock::now()), now};
        plan(entries_.emplace(key, std::move(entry)).first->second, now);
    }
    for (auto entry = entries_.begin(); entry != entries_.end();) {
        const auto one = entry++;
        if (!there.contains(one->first)) forget(one);
    }
}

void HealthWatch::forget(std::map<VolumeKey, Entry>::iterator entry) {
    for (auto* listener : deps_.listeners) listener->worker_gone(entry->second.volume);
    due_.erase({entry->second.due, entry->first});
    entries_.erase(entry);
}

/// When it is asked; of one that is asked now, when it is asked again.
void HealthWatch::plan(Entry& entry, core::SteadyTime due) {
    due_.erase({entry.due, entry.volume.key});
    entry.due = due;
    if (entry.asked != Entry::Asked::now) due_.emplace(due, entry.volume.key);
}

void HealthWatch::ask_due() {
    const auto now = steady_clock::now();
    if (now >= look_at_) look();
    while (asking_ < limits_.at_once && !due_.empty() && due_.begin()->first <= now) {
        begin(entries_.at(due_.begin()->second));
    }
    arm();
}

void HealthWatch::arm() {
    auto next = look_at_;
    // With as many under way as may be, the end of one goes on.
    if (asking_ < limits_.at_once && !due_.empty()) next = std::min(next, due_.begin()->first);
    timer_.expires_at(next);
    timer_.async_wait(
        [this, alive = std::weak_ptr<void>(alive_)](const boost::system::error_code& error) {
            if (!error && !alive.expired()) ask_due();
        }
    );
}

void HealthWatch::mark_asked(Entry& entry) {
    ++asking_;
    const auto phase = std::hash<std::string>()(entry.volume.key.name);
    const auto pause =
        entry.asked == Entry::Asked::never ? first_pause(phase) : pause_after(Health::healthy);
    entry.asked = Entry::Asked::now;
    plan(entry, steady_clock::now() + pause);
}

void HealthWatch::begin(Entry& entry) {
    mark_asked(entry);
    // From the loop, so that an inspector that answers at once does not answer inside this.
    deps_.reactor.post([this, volume = entry.volume, alive = std::weak_ptr<void>(alive_)] {
        if (!alive.expired()) core::spawn(ask(volume, limits_.answer, alive));
    });
}

core::Task<> HealthWatch::ask(
    MountedVolume volume, core::SteadyDuration limit, std::weak_ptr<void> alive
) {
    const auto told = written(volume);
    auto question =
        deps_.inspector.status(volume.key, volume.worker, told, steady_clock::now() + limit);
    const auto answer = co_await question;
    if (alive.expired()) co_return;
    --asking_;
    take(volume, answer);
    // Its keeper hears soon what it need not tell again: a daemon that is killed forgets.
    const auto found = entries_.find(volume.key);
    if (found != entries_.end() && written(volume) != told) plan(found->second, {});
    ask_due();
}

bool HealthWatch::is_told_elsewhere(const MountedVolume& volume, Health health) const {
    using Stays = MountedVolume::Stays;
    const auto stays = deps_.stays(volume.key, volume.worker.id);
    // What was detached may stay for long, and its server counts until it ends.
    return stays == Stays::no || (stays == Stays::detached && health == Health::failed);
}

std::uint64_t HealthWatch::written(const MountedVolume& volume) const {
    return deps_.written ? deps_.written(volume.worker.id) : 0;
}

void HealthWatch::take(const MountedVolume& volume, const core::Outcome<std::string>& answer) {
    const auto found = entries_.find(volume.key);
    // The volume may have another worker by now.
    if (found == entries_.end() || found->second.volume.worker.id != volume.worker.id) return;
    auto& entry = found->second;
    entry.asked = Entry::Asked::before;
    auto before = entry.health;
    const auto step = entry.health.take(answer, system_clock::now());
    if (step == MountHealth::Step::changed) {
        const auto health = entry.health.health();
        if (health != Health::healthy && is_told_elsewhere(volume, health)) {
            entry.health = std::move(before);
            plan(entry, std::min(entry.due, steady_clock::now() + pause_after(Health::failed)));
            return;
        }
        log_change(volume, entry.health);
    }
    plan(entry, std::min(entry.due, steady_clock::now() + pause_after(entry.health.health())));
    if (!answer || !entry.health.has_fresh_status()) return;
    for (auto* listener : deps_.listeners) listener->status_told(volume, entry.health.status());
    entry.health.drop_details();
}

}  // namespace uidnfs::plugins
