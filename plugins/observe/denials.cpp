// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/denials.hpp"

#include "core/log.hpp"

#include <boost/json.hpp>

#include <cerrno>
#include <chrono>
#include <utility>

namespace uidnfs::plugins {
namespace {

using std::chrono::steady_clock;

boost::json::object fields_of(const MountedVolume& volume, const std::string& reason) {
    boost::json::object fields;
    add_volume(fields, volume.key);
    add_text(fields, "source", volume.source);
    add_identity(fields, volume.identity);
    add_text(fields, "text", reason);
    return fields;
}

}  // namespace

Denials::Denials(Deps deps, Limits limits)
    : deps_(deps), limits_(limits), timer_(deps_.reactor.io()) {}

Denials::~Denials() = default;

void Denials::take_away(const MountedVolume& volume, const std::string& reason) {
    if (mode_ == Mode::release) return;
    auto& entry = entries_[volume.key];
    if (entry.volume.worker.id != volume.worker.id) entry = {};
    entry.volume = volume;
    entry.reason = reason;
    entry.wanted = Access::denied;
    count();
    act(volume.key);
}

void Denials::give_back(const VolumeKey& volume) {
    const auto found = entries_.find(volume);
    if (found == entries_.end()) return;
    found->second.wanted = Access::given;
    count();
    act(volume);
}

void Denials::set_mode(Mode mode) {
    mode_ = mode;
    if (mode == Mode::enforce) return;
    for (const auto& volume : denied()) give_back(volume);
}

void Denials::status_told(const MountedVolume& volume, const boost::json::object& status) {
    const auto* word = status.if_contains("denied");
    const bool is_denied = word && word->is_string() && !word->get_string().empty();
    const auto found = entries_.find(volume.key);
    if (found == entries_.end() || found->second.volume.worker.id != volume.worker.id) {
        if (!is_denied) return;
        auto& entry = entries_[volume.key];
        entry = {volume, std::string(word->get_string()), Access::denied, Access::denied};
        if (mode_ == Mode::release) {
            entry.wanted = Access::given;
        } else {
            news_.found.push_back(volume.key);
        }
        core::log::info("volume {}: access is taken away: {}", volume.key.name, entry.reason);
        count();
        act(volume.key);
        return;
    }
    auto& entry = found->second;
    if (entry.order == Entry::Order::given) return;
    if (steady_clock::now() < entry.settled_at + limits_.settling) return;
    entry.is = is_denied ? Access::denied : Access::given;
    act(volume.key);
}

void Denials::worker_gone(const MountedVolume& volume) {
    const auto found = entries_.find(volume.key);
    if (found == entries_.end() || found->second.volume.worker.id != volume.worker.id) return;
    entries_.erase(found);
    news_.gone.push_back(volume.key);
    count();
}

std::vector<VolumeKey> Denials::denied() const {
    std::vector<VolumeKey> volumes;
    for (const auto& [key, entry] : entries_) {
        if (entry.wanted == Access::denied) volumes.push_back(key);
    }
    return volumes;
}

Denials::News Denials::take_news() { return std::exchange(news_, {}); }

void Denials::act(const VolumeKey& volume) {
    const auto found = entries_.find(volume);
    if (found == entries_.end()) return;
    auto& entry = found->second;
    if (entry.order == Entry::Order::given) return;  // its end comes here again
    if (entry.is == entry.wanted) {
        // What it says of itself may be older than the order for a while.
        const bool is_old = steady_clock::now() >= entry.settled_at + limits_.settling;
        if (entry.is == Access::given && is_old) entries_.erase(found);
        return;
    }
    entry.order = Entry::Order::given;
    // From the loop: an inspector that answers at once does not answer inside this.
    deps_.reactor.post([this, entry, alive = std::weak_ptr<void>(alive_)] {
        if (!alive.expired()) core::spawn(carry_out(entry, alive));
    });
}

core::Task<> Denials::carry_out(Entry entry, std::weak_ptr<void> alive) {
    const auto deadline = steady_clock::now() + limits_.answer;
    const auto& volume = entry.volume;
    std::vector<std::string> lost;
    core::Outcome<void> done;
    if (entry.wanted == Access::denied) {
        auto order = deps_.inspector.deny(volume.key, volume.worker, entry.reason, deadline);
        auto answer = co_await order;
        if (answer) {
            lost = std::move(*answer);
        } else {
            done = answer.error();
        }
    } else {
        auto order = deps_.inspector.allow(volume.key, volume.worker, deadline);
        done = co_await order;
    }
    if (alive.expired()) co_return;
    // What was done is told, also when the mount is gone by now.
    if (done && entry.wanted == Access::denied) took_away(entry, lost);
    if (done && entry.wanted == Access::given) gave_back(entry);
    const auto found = entries_.find(volume.key);
    if (found == entries_.end() || found->second.volume.worker.id != volume.worker.id) co_return;
    auto& live = found->second;
    live.order = Entry::Order::none;
    live.settled_at = steady_clock::now();
    if (!done) {
        failed(live, done.error());
        co_return;
    }
    live.is = entry.wanted;
    if (deps_.changed) deps_.changed(volume.key);
    act(volume.key);
}

void Denials::took_away(const Entry& entry, const std::vector<std::string>& lost) {
    core::log::warning("volume {}: access is taken away: {}", entry.volume.key.name, entry.reason);
    deps_.metrics.count_denial();
    auto fields = fields_of(entry.volume, entry.reason);
    if (!lost.empty()) fields["lost"] = boost::json::array(lost.begin(), lost.end());
    deps_.audit.record("identity denied", std::move(fields));
}

void Denials::gave_back(const Entry& entry) {
    core::log::info("volume {}: access is given back", entry.volume.key.name);
    deps_.audit.record(
        "identity restored", fields_of(entry.volume, "denied until now: " + entry.reason)
    );
}

void Denials::failed(Entry& entry, const core::Failure& failure) {
    const auto& volume = entry.volume.key;
    // The mount has ended; whoever watches it says so as well.
    if (failure.code == ESRCH) {
        entries_.erase(volume);
        count();
        return;
    }
    if (entry.is != Access::unknown) {
        core::log::error(
            "volume {}: its access cannot be {}: {}; trying again",
            volume.name,
            entry.wanted == Access::denied ? "taken away" : "given back",
            failure.user_text
        );
    }
    entry.is = Access::unknown;
    retry_later();
}

void Denials::retry_later() {
    if (std::exchange(retry_, Retry::planned) == Retry::planned) return;
    timer_.expires_after(limits_.retry);
    timer_.async_wait(
        [this, alive = std::weak_ptr<void>(alive_)](const boost::system::error_code& error) {
            if (error || alive.expired()) return;
            retry_ = Retry::none;
            std::vector<VolumeKey> waiting;
            for (const auto& [key, entry] : entries_) waiting.push_back(key);
            for (const auto& key : waiting) act(key);
        }
    );
}

void Denials::count() { deps_.metrics.set_denied_mounts(denied().size()); }

}  // namespace uidnfs::plugins
