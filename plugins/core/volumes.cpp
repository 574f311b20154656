// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/volumes.hpp"

#include "core/log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <random>
#include <utility>

namespace uidnfs::plugins {

std::string_view to_string(Decision::Event event) noexcept {
    switch (event) {
        case Decision::Event::mount: return "mount";
        case Decision::Event::refused: return "refused";
        case Decision::Event::unmount: return "unmount";
        case Decision::Event::create: return "create";
        case Decision::Event::remove: return "remove";
        case Decision::Event::worker_died: return "worker died";
        case Decision::Event::data_lost: return "data lost";
        case Decision::Event::not_saved: return "not saved";
        case Decision::Event::abort: return "abort";
    }
    return "unknown";
}

/// A volume, and what is under way for it.
struct Volumes::Entry {
    Entry(core::Reactor& reactor, VolumeKey key, Volume::Times times)
        : volume(
              key,
              key.dialect == Dialect::cloudfoundry ? Lifetime::until_unmounted
                                                   : Lifetime::until_removed,
              times
          ),
          timer(reactor.io()) {}

    Volume volume;
    boost::asio::steady_timer timer;
    std::optional<core::SteadyTime> armed;
    std::stop_source unwanted;  // of the step that runs
    std::deque<Event> events;
    enum class Turn { free, taken } turn = Turn::free;
    std::size_t waiting = 0;
};

/// Who waits for an answer.
struct Volumes::Waiter {
    VolumeKey key;
    std::string reference;
    std::string holder;
    std::string peer;
    Decision::Event event = Decision::Event::mount;
    core::SteadyTime since;
    MountReply reply;
    std::optional<std::stop_callback<std::function<void()>>> on_hang_up = {};
};

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
      background_(deps.reactor) {}

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
        volume.record().identity};
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
             fmt::format("cannot mount {}: uidnfsd is being stopped; try again later", key.name)},
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

/// Runs to completion: what an action causes at once waits until the others were carried out.
void Volumes::dispatch(const VolumeKey& key, Event event) {
    auto& found = entry(key);
    found.events.push_back(std::move(event));
    if (std::exchange(found.turn, Entry::Turn::taken) == Entry::Turn::taken) return;
    while (!found.events.empty()) {
        auto next = std::move(found.events.front());
        found.events.pop_front();
        auto actions = found.volume.handle(std::move(next), std::chrono::steady_clock::now());
        for (auto& action : actions) apply(found, std::move(action));
    }
    found.turn = Entry::Turn::free;
    arm(found);
    if (found.volume.is_gone() && found.waiting == 0) entries_.erase(key);
}

void Volumes::apply(Entry& entry, Action action) {
    if (auto* step = std::get_if<Do>(&action)) {
        begin(entry, *step);
    } else if (auto* reply = std::get_if<Answer>(&action)) {
        answer(entry, std::move(*reply));
    } else if (const auto* note = std::get_if<Note>(&action)) {
        auto event = Decision::Event::not_saved;
        if (note->kind == Note::Kind::worker_died) event = Decision::Event::worker_died;
        if (note->kind == Note::Kind::data_lost) event = Decision::Event::data_lost;
        if (note->kind == Note::Kind::aborted) event = Decision::Event::abort;
        const auto record = entry.volume.record();
        core::log::error("volume {}: {}", entry.volume.key().name, note->text);
        deps_.observer.decided(
            {.event = event,
             .volume = entry.volume.key(),
             .reference = {},
             .source = record.source,
             .identity = record.identity,
             .text = note->text,
             .rule = record.worker.rule}
        );
    } else {
        entry.unwanted.request_stop();
    }
}

void Volumes::answer(Entry& entry, Answer action) {
    const auto found = waiters_.find(action.serial);
    if (found == waiters_.end()) return;
    const auto waiter = std::move(found->second);
    waiters_.erase(found);
    --entry.waiting;
    const auto record = entry.volume.record();
    Decision decision{
        .event = action.result ? waiter->event : Decision::Event::refused,
        .volume = waiter->key,
        .reference = waiter->reference,
        .holder = waiter->holder,
        .peer = waiter->peer,
        .source = record.source,
        .identity = record.identity,
        .rule = record.worker.rule,
        .asked = waiter->event,
        .worker = record.worker.id,
        .took = std::chrono::steady_clock::now() - waiter->since};
    // What was refused early is not what is mounted.
    if (const auto& definition = entry.volume.definition(); decision.source.empty() && definition) {
        decision.source = definition->source;
    }
    if (!action.result) {
        decision.text = action.result.error().user_text;
        decision.code = action.result.error().code;
    }
    deps_.observer.decided(decision);
    if (action.result) {
        waiter->reply(Mounted{entry.volume.mountpoint(), action.serial});
        return;
    }
    auto failure = std::move(action.result).error();
    core::log::warning(
        "{} of {} (reference {}): {} {}",
        to_string(waiter->event),
        waiter->key.name,
        waiter->reference,
        failure.user_text,
        failure.operator_text
    );
    failure.user_text += fmt::format(" (reference {})", waiter->reference);
    waiter->reply(std::move(failure));
}

void Volumes::arm(Entry& entry) {
    const auto next = entry.volume.next_deadline();
    if (next == entry.armed) return;
    entry.armed = next;
    entry.timer.cancel();
    if (!next) return;
    entry.timer.expires_at(*next);
    entry.timer.async_wait([this, key = entry.volume.key(), alive = std::weak_ptr<void>(alive_)](
                               const boost::system::error_code& error
                           ) {
        if (error || alive.expired()) return;
        const auto found = entries_.find(key);
        if (found == entries_.end()) return;
        found->second->armed.reset();
        dispatch(key, Tick{});
    });
}

void Volumes::begin(Entry& entry, Do action) {
    switch (action.step) {
        case Step::save_definition:
        case Step::erase_definition:
        case Step::save_live:
        case Step::erase_live: return save(entry, action.step);
        case Step::prepare:
        case Step::start:
        case Step::stop:
        case Step::detach:
        case Step::adopt: break;
    }
    entry.unwanted = std::stop_source();
    // From the loop, so that a mounter that answers at once does not answer inside this.
    deps_.reactor.post(
        [this, key = entry.volume.key(), action, alive = std::weak_ptr<void>(alive_)] {
            if (!alive.expired()) core::spawn(run_step(key, action, alive));
        }
    );
}

core::Task<> Volumes::run_step(VolumeKey key, Do action, std::weak_ptr<void> alive) {
    // The entry stays while its step runs; the references do not outlive a suspension.
    auto unwanted = entry(key).unwanted.get_token();
    const auto& volume = entry(key).volume;
    const auto worker = volume.worker().value_or(Worker{});
    std::optional<Event> event;
    switch (action.step) {
        case Step::prepare: {
            auto task = deps_.preparer.prepare(key, volume.definition(), action.deadline, unwanted);
            auto spec = co_await task;
            event = Prepared{std::move(spec)};
            break;
        }
        case Step::start: {
            auto task = deps_.mounter.start(volume.spec(), action.deadline, unwanted);
            auto started = co_await task;
            event = Started{std::move(started)};
            break;
        }
        case Step::stop: {
            auto task = deps_.mounter.stop(key, worker, action.deadline);
            auto ended = co_await task;
            event = Stopped{std::move(ended)};
            break;
        }
        case Step::detach: {
            auto task = deps_.mounter.detach(key, worker, action.deadline);
            auto result = co_await task;
            event = Done{std::move(result)};
            break;
        }
        case Step::adopt: {
            auto task = deps_.mounter.adopt(key, volume.record());
            auto adopted = co_await task;
            event = Started{std::move(adopted)};
            break;
        }
        case Step::save_definition:
        case Step::erase_definition:
        case Step::save_live:
        case Step::erase_live: break;
    }
    if (alive.expired() || !event) co_return;
    dispatch(key, std::move(*event));
}

void Volumes::save(Entry& entry, Step step) {
    const auto key = entry.volume.key();
    background_.run(
        [this, key, step, definition = entry.volume.definition(), record = entry.volume.record()](
        ) -> core::Outcome<void> {
            switch (step) {
                case Step::save_definition: return deps_.store.save_definition(key, *definition);
                case Step::erase_definition: return deps_.store.erase_definition(key);
                case Step::save_live: return deps_.store.save_live(key, record);
                case Step::erase_live: return deps_.store.erase_live(key);
                case Step::prepare:
                case Step::start:
                case Step::stop:
                case Step::detach:
                case Step::adopt: break;
            }
            return {};
        },
        [this, key, alive = std::weak_ptr<void>(alive_)](core::Outcome<void> result) {
            if (!alive.expired()) dispatch(key, Done{std::move(result)});
        }
    );
}

}  // namespace uidnfs::plugins
