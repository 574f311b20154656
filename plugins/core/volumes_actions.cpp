// SPDX-License-Identifier: Apache-2.0
// How Volumes carries out what a Volume decides: steps that take time, answers, notes, deadlines.
// What platforms ask is in volumes.cpp.
#include "core/log.hpp"
#include "plugins/core/volumes.hpp"
#include "plugins/core/volumes_entry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace uidnfs::plugins {
namespace {

/// The name that the volume is to be mounted as, where its definition says one; of one that is too
/// long to be a name, what is enough to find it, for the audit is not for others to fill.
std::string asked_user(const Definition* definition) {
    constexpr std::size_t kLongest = 256;
    if (definition == nullptr) return {};
    for (const auto& [name, value] : definition->options) {
        if (name == "username") return value.substr(0, kLongest);
    }
    return {};
}

}  // namespace

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
        case Decision::Event::keeper_lost: return "keeper lost";
        case Decision::Event::keeper_replaced: return "keeper replaced";
        case Decision::Event::abort: return "abort";
    }
    return "unknown";
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

void Volumes::keeper_told(const VolumeKey& key, KeeperNews news, std::string text) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    const auto record = found->second->volume.record();
    core::log::warning("volume {}: {}", key.name, text);
    const bool is_lost = news == KeeperNews::lost;
    deps_.observer.decided(
        {.event = is_lost ? Decision::Event::keeper_lost : Decision::Event::keeper_replaced,
         .volume = key,
         .reference = {},
         .source = record.source,
         .identity = record.identity,
         .text = std::move(text),
         .rule = record.worker.rule,
         .worker = record.worker.id}
    );
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
        if (decision.identity.from.empty() && waiter->event == Decision::Event::mount) {
            decision.identity.user = asked_user(entry.volume.definition().get());
        }
        decision.text = action.result.error().user_text;
        decision.code = action.result.error().code;
    }
    if (action.did == Answer::Did::something) deps_.observer.decided(decision);
    if (action.result) {
        waiter->reply(Mounted{entry.volume.mountpoint(), action.serial});
        return;
    }
    auto failure = std::move(action.result).error();
    core::log::warning(
        "{} of {} (reference {}): {}{}",
        to_string(waiter->event),
        waiter->key.name,
        waiter->reference,
        failure.user_text,
        failure.operator_text.empty() ? "" : fmt::format(" ({})", failure.operator_text)
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
            if (deps_.before_stop) {
                auto last = deps_.before_stop(key);
                co_await last;
                if (alive.expired()) co_return;
            }
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
            // First those that are left, so that what is mounted now has the last word.
            auto record = volume.record();
            const auto left = std::exchange(record.left, {});
            for (const auto& one : left) {
                auto left_record = record;
                left_record.phase = LiveRecord::Phase::detached;
                left_record.worker = one;
                auto task = deps_.mounter.adopt(key, std::move(left_record));
                const auto found = co_await task;
                if (alive.expired()) co_return;
                if (found) continue;
                dispatch(key, WorkerEnded{one.id, {found.error().user_text, {kUnseenEnd}}});
            }
            if (std::find(left.begin(), left.end(), record.worker) != left.end()) {
                event = Started{core::Failure{ESRCH, "nothing is mounted there"}};
                break;
            }
            auto task = deps_.mounter.adopt(key, std::move(record));
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
    const bool is_live = step == Step::save_live || step == Step::erase_live;
    auto& background = is_live ? live_ : definitions_;
    background.run(
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
