// SPDX-License-Identifier: Apache-2.0
// The worker died, or hangs, under a mount that is there: the next one goes on with what the arena
// holds. The device stays open here, so the kernel waits and nobody hears of it.
#include "app/keeper.hpp"
#include "app/names.hpp"
#include "core/clock.hpp"
#include "core/code_pages.hpp"
#include "core/log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;
namespace log = core::log;

/// The next worker asks no server: it is ready in milliseconds, on a machine under load in seconds.
constexpr std::chrono::seconds kGetReady{30};

using core::now;

bool is_want(int code) noexcept {
    return code == EAGAIN || code == ENOMEM || code == EMFILE || code == ENFILE;
}

}  // namespace

bool Keeper::can_take_over() const noexcept {
    return takeover_ == "full" && descriptors_.fuse && arena_;
}

void Keeper::take_over(const std::string& why, Death death) {
    hang_watch_.end();
    upgrade_failed("the worker process died: " + why);
    if (worker_) {
        const auto pid = worker_->pid();
        // Two must not work on one arena. A thread that the kernel keeps does not come back to it.
        worker_->kill_soon();
        if (!worker_->try_reap()) dead_.push_back(std::move(*worker_));
        log::error("the worker process {} is gone: {}", pid, why);
    }
    worker_.reset();
    forget_connections();
    worker_channel_.close();
    if (!can_take_over()) {
        give_up(fmt::format(
            "the worker process ended unexpectedly ({}) and cannot be replaced (takeover: {})",
            why,
            takeover_
        ));
        return;
    }
    if (phase_ == Phase::serving) deadline_ = core::SteadyTime::max();
    ++spec_.takeovers;
    spec_.takeover_reason = why;
    spec_.last_death = death;
    spec_.takeover_time = utc_time(std::chrono::system_clock::now());
    write_down();
    if (!restarts_.died(now())) {
        give_up(fmt::format("no worker process can be started any more ({})", why));
        return;
    }
    succession_ = Succession::waiting;
    if (restarts_.next() <= now()) start_next_worker();
}

void Keeper::start_next_worker() {
    succession_ = Succession::getting_ready;
    if (const auto launched = launch_worker(); !launched) {
        const auto& failure = launched.error();
        if (!worker_ && is_want(failure.code)) return wait_for_more(failure);
        want_.clear();
        log::error("{}", failure.user_text);
        take_over(failure.user_text);
        return;
    }
    want_.clear();
    hang_watch_.end();
    if (phase_ == Phase::serving) deadline_ = now() + kGetReady;
}

/// What was not written is in the arena, and whoever waits for the mount waits on.
void Keeper::wait_for_more(const core::Failure& failure) {
    auto want = describe_errno(failure.code);
    if (want_ != want) log::error("{}; trying again", failure.user_text);
    want_ = std::move(want);
    succession_ = Succession::waiting;
    restarts_.wanted(now());
}

std::optional<core::SteadyDuration> Keeper::time_left() const {
    if (deadline_ == core::SteadyTime::max()) return std::nullopt;
    return std::max<core::SteadyDuration>(deadline_ - kGrace - now(), milliseconds(0));
}

void Keeper::on_next_ready() {
    succession_ = Succession::none;
    restarts_.ready();
    hang_watch_.begin(now());
    if (upgrade_) {
        upgraded();
    } else {
        log::warning("worker {} has taken the mount over", worker_->pid());
    }
    core::give_back_code();
    const auto left = time_left().value_or(flush_deadline());
    const auto count = std::chrono::duration_cast<milliseconds>(left).count();
    const auto limit = static_cast<std::uint64_t>(count);
    switch (phase_) {
        case Phase::serving: deadline_ = core::SteadyTime::max(); break;
        case Phase::draining:
            tell_worker(Message("drain").add("id", 0).add("milliseconds", limit));
            break;
        case Phase::ending: tell_worker(Message("stop").add("milliseconds", limit)); break;
        case Phase::starting:
        case Phase::waiting:
        case Phase::over: break;
    }
    // Whoever waits for the writing of what there is waits on.
    for (auto& client : clients_) {
        if (client.wants == Client::Wants::access) ask_for_access(client);
        if (client.wants != Client::Wants::drain) continue;
        ask_worker(client, Message("drain").add("milliseconds", limit));
    }
}

core::SteadyTime Keeper::next_look() const noexcept {
    if (succession_ == Succession::waiting) return restarts_.next();
    return phase_ == Phase::serving ? hang_watch_.next() : core::SteadyTime::max();
}

void Keeper::check_worker(core::SteadyTime time) {
    if (!dead_.empty()) reap_others();
    if (succession_ == Succession::waiting) {
        if (time >= restarts_.next()) start_next_worker();
        return;
    }
    if (phase_ != Phase::serving || !worker_ || time < hang_watch_.next()) return;
    const auto state = read_process_state(worker_->pid());
    if (!hang_watch_.is_asking()) {
        keep_control();
        tell_worker(Message("ping"));
        hang_watch_.asked(time, state);
        return;
    }
    switch (hang_watch_.look(time, state)) {
        case HangWatch::Verdict::fine: return;
        case HangWatch::Verdict::dead:
        case HangWatch::Verdict::hangs: take_over(hang_watch_.why()); return;
    }
}

void Keeper::reap_others() {
    std::erase_if(dead_, [](Child& child) { return child.try_reap().has_value(); });
}

}  // namespace uidnfs::app
