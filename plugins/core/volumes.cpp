// SPDX-License-Identifier: Apache-2.0
// What platforms ask of volumes; how it is carried out is in volumes_actions.cpp.
#include "plugins/core/volumes.hpp"

#include "core/log.hpp"
#include "plugins/core/volumes_entry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <utility>

namespace uidnfs::plugins {

struct Volumes::Draining {
    DrainReply reply;
    std::size_t left = 0;
    std::vector<std::string> failures = {};
};

namespace {

Decision::Event event_of(const Create&) { return Decision::Event::create; }
Decision::Event event_of(const Mount&) { return Decision::Event::mount; }
Decision::Event event_of(const Unmount&) { return Decision::Event::unmount; }
Decision::Event event_of(const Remove&) { return Decision::Event::remove; }
Decision::Event event_of(const Drain&) { return Decision::Event::unmount; }
Decision::Event event_of(const TakeBack&) { return Decision::Event::unmount; }

std::string holder_of(const Mount& mount) { return mount.holder; }
std::string holder_of(const Unmount& unmount) { return unmount.holder; }
std::string holder_of(const TakeBack& take_back) { return take_back.holder; }
template <class Other>
std::string holder_of(const Other&) {
    return {};
}

}  // namespace

Volumes::Volumes(Deps deps, Limits limits)
    : deps_(deps),
      limits_(limits),
      reference_base_(std::random_device{}() & 0xffff),
      definitions_(deps.reactor),
      live_(deps.reactor) {}

Volumes::~Volumes() = default;

core::Outcome<void> Volumes::restore() {
    auto stored = deps_.store.load();
    if (!stored) return stored.error();
    for (auto& volume : *stored) {
        auto& found = entry(volume.key);
        const auto actions =
            found.volume.restore(std::move(volume.definition), std::move(volume.live));
        for (const auto& action : actions) apply(found, action);
    }
    return {};
}

bool Volumes::is_restoring() const {
    return std::any_of(entries_.begin(), entries_.end(), [](const auto& each) {
        return each.second->volume.is_adopting();
    });
}

void Volumes::create(VolumeKey key, DefinitionPtr definition, Caller caller, Reply reply) {
    const auto deadline = std::chrono::steady_clock::now() + limits_.other;
    submit(
        std::move(key),
        Create{std::move(definition)},
        deadline,
        {{}, std::move(caller.peer)},  // who hangs up wants it all the same
        [reply = std::move(reply)](core::Outcome<Mounted> done) {
            reply(done ? core::Outcome<void>() : core::Outcome<void>(done.error()));
        }
    );
}

void Volumes::mount(VolumeKey key, std::string holder, Caller caller, MountReply reply) {
    const auto deadline = std::chrono::steady_clock::now() + limits_.mount;
    submit(std::move(key), Mount{std::move(holder)}, deadline, std::move(caller), std::move(reply));
}

void Volumes::unmount(VolumeKey key, std::string holder, Caller caller, Reply reply) {
    const auto deadline = std::chrono::steady_clock::now() + limits_.other;
    submit(
        std::move(key),
        Unmount{std::move(holder)},
        deadline,
        {{}, std::move(caller.peer)},  // who hangs up wants it all the same
        [reply = std::move(reply)](core::Outcome<Mounted> done) {
            reply(done ? core::Outcome<void>() : core::Outcome<void>(done.error()));
        }
    );
}

void Volumes::remove(VolumeKey key, Caller caller, Reply reply) {
    const auto deadline = std::chrono::steady_clock::now() + limits_.other;
    submit(
        std::move(key),
        Remove{},
        deadline,
        {{}, std::move(caller.peer)},  // who hangs up wants it all the same
        [reply = std::move(reply)](core::Outcome<Mounted> done) {
            reply(done ? core::Outcome<void>() : core::Outcome<void>(done.error()));
        }
    );
}

void Volumes::take_back(VolumeKey key, std::string holder, Serial mount) {
    core::log::info("the answer for {} reached nobody and is taken back", key.name);
    const auto deadline = std::chrono::steady_clock::now() + limits_.other;
    submit(
        std::move(key),
        TakeBack{std::move(holder), mount},
        deadline,
        {},
        [](const core::Outcome<Mounted>&) {}
    );
}

void Volumes::delivered(const VolumeKey& key, std::string holder, Serial mount) {
    if (!entries_.contains(key)) return;
    dispatch(
        key, Submitted{{++serial_, core::SteadyTime::max(), Delivered{std::move(holder), mount}}}
    );
}

std::optional<VolumeInfo> Volumes::find(const VolumeKey& key) const {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return std::nullopt;
    const auto& volume = found->second->volume;
    if (volume.state() == State::absent) return std::nullopt;
    return VolumeInfo{
        key.name,
        volume.state(),
        volume.mountpoint(),
        volume.reason(),
        volume.holders(),
        volume.definition() ? volume.definition()->source : volume.record().source,
        volume.worker(),
        volume.record().identity,
        volume.definition() ? volume.definition()->created : std::nullopt};
}

std::vector<VolumeInfo> Volumes::list(Dialect dialect) const {
    std::vector<VolumeInfo> infos;
    for (const auto& [key, entry] : entries_) {
        if (key.dialect != dialect) continue;
        if (auto info = find(key)) infos.push_back(std::move(*info));
    }
    return infos;
}

std::size_t Volumes::count_mounted() const {
    return static_cast<std::size_t>(std::count_if(
        entries_.begin(),
        entries_.end(),
        [](const auto& each) {
            const auto& volume = each.second->volume;
            return volume.state() != State::absent && volume.worker();
        }
    ));
}

void Volumes::worker_ended(const VolumeKey& key, WorkerId worker, Ended ended) {
    if (entries_.contains(key)) dispatch(key, WorkerEnded{worker, std::move(ended)});
}

void Volumes::drain(core::SteadyTime deadline, DrainReply reply) {
    accepting_ = Accepting::nothing_new;
    auto draining = std::make_shared<Draining>();
    draining->reply = std::move(reply);
    std::vector<VolumeKey> keys;
    for (const auto& [key, entry] : entries_) keys.push_back(key);
    draining->left = keys.size() + 1;
    const auto end_one = [draining] {
        if (--draining->left == 0) draining->reply(std::move(draining->failures));
    };
    for (const auto& key : keys) {
        submit(
            key,
            Drain{},
            deadline,
            {},
            [draining, end_one, name = key.name](const core::Outcome<Mounted>& done) {
                if (!done) {
                    draining->failures.push_back(fmt::format("{}: {}", name, done.error().user_text)
                    );
                }
                end_one();
            }
        );
    }
    deps_.reactor.post(end_one);
}

Volumes::Entry& Volumes::entry(const VolumeKey& key) {
    auto& slot = entries_[key];
    if (!slot) slot = std::make_unique<Entry>(deps_.reactor, key, limits_.times);
    return *slot;
}

std::string Volumes::next_reference() {
    return fmt::format("{:04x}-{:x}", reference_base_, serial_);
}

template <class What>
void Volumes::submit(
    VolumeKey key, What what, core::SteadyTime deadline, Caller caller, MountReply reply
) {
    ++serial_;
    constexpr bool is_new = std::is_same_v<What, Mount> || std::is_same_v<What, Create>;
    const auto known = entries_.find(key);
    if (is_new && accepting_ == Accepting::nothing_new) {
        return refuse(
            key,
            holder_of(what),
            caller,
            {ESHUTDOWN,
             fmt::format(
                 "cannot mount {}: uidnfsd of this host was drained, and mounts nothing until it "
                 "is started again; use another host",
                 key.name
             )},
            event_of(what),
            reply
        );
    }
    if (std::is_same_v<What, Create> && known == entries_.end() &&
        entries_.size() >= limits_.volumes) {
        return refuse(
            key,
            {},
            caller,
            {ENOSPC,
             fmt::format(
                 "cannot create {}: there are {} volumes already; remove some",
                 key.name,
                 limits_.volumes
             )},
            event_of(what),
            reply
        );
    }
    // Only platforms' repetitions can pile up here; an Unmount is never turned away.
    if (is_new && known != entries_.end() && known->second->waiting >= limits_.waiting) {
        return refuse(
            key,
            holder_of(what),
            caller,
            {EBUSY,
             fmt::format(
                 "cannot mount {}: {} commands for it are waiting; try again later",
                 key.name,
                 limits_.waiting
             )},
            event_of(what),
            reply
        );
    }
    const auto serial = serial_;
    waiters_[serial].reset(new Waiter{
        key,
        next_reference(),
        holder_of(what),
        std::move(caller.peer),
        event_of(what),
        std::chrono::steady_clock::now(),
        std::move(reply)});
    ++entry(key).waiting;
    dispatch(key, Submitted{{serial, deadline, std::move(what)}});
    const auto waiting = waiters_.find(serial);
    if (waiting == waiters_.end() || !caller.hung_up.stop_possible()) return;
    // Through the reactor: a stop_callback must not end inside itself.
    waiting->second->on_hang_up.emplace(
        std::move(caller.hung_up),
        [this, serial, alive = std::weak_ptr<void>(alive_)] {
            deps_.reactor.post([this, serial, alive] {
                if (alive.expired()) return;
                const auto found = waiters_.find(serial);
                if (found == waiters_.end()) return;
                const auto gone = std::move(found->second);
                waiters_.erase(found);
                core::log::info(
                    "the caller of {} for {} hung up", to_string(gone->event), gone->key.name
                );
                --entry(gone->key).waiting;
                dispatch(gone->key, HungUp{serial});
            });
        }
    );
}

void Volumes::refuse(
    const VolumeKey& key,
    std::string holder,
    const Caller& caller,
    core::Failure why,
    Decision::Event asked,
    const MountReply& reply
) {
    const auto reference = next_reference();
    deps_.observer.decided(
        {.event = Decision::Event::refused,
         .volume = key,
         .reference = reference,
         .holder = std::move(holder),
         .peer = caller.peer,
         .text = why.user_text,
         .asked = asked,
         .code = why.code}
    );
    why.user_text += fmt::format(" (reference {})", reference);
    reply(std::move(why));
}

}  // namespace uidnfs::plugins
