// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/recheck_driver.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace uidnfs::plugins {
namespace {

/// After a start: mounts that were found again may be old.
constexpr std::chrono::seconds kFirst{60};

/// Unique over all platforms.
std::string name_of(const VolumeKey& volume) {
    return fmt::format("{}/{}", to_string(volume.dialect), volume.name);
}

std::vector<ldap::LiveMount> live_mounts(const std::vector<MountedVolume>& volumes) {
    std::vector<ldap::LiveMount> mounts;
    for (const auto& volume : volumes) {
        const auto& identity = volume.identity;
        auto& mount = mounts.emplace_back();
        mount.name = name_of(volume.key);
        mount.user = identity.user;
        mount.uid = mapper::ServerUid(identity.uid);
        mount.gid = mapper::ServerGid(identity.gid);
        for (const auto gid : identity.gids) mount.groups.emplace_back(gid);
    }
    return mounts;
}

}  // namespace

std::string_view recheck_event(ldap::Verdict verdict) noexcept {
    switch (verdict) {
        case ldap::Verdict::unknown:
        case ldap::Verdict::same: return "identity known again";
        case ldap::Verdict::changed: return "identity changed";
        case ldap::Verdict::replaced:
        case ldap::Verdict::disabled:
        case ldap::Verdict::gone: return "identity gone";
    }
    return "identity gone";
}

/// What one configuration asks, and what it found so far. The thread of a round has it meanwhile.
struct RecheckDriver::Asker {
    Asker(std::shared_ptr<ldap::Directory> from, const ldap::Options& options)
        : directory(std::move(from)),
          // Taking access away needs the worker's help, which this version does not have.
          rechecker(
              *directory,
              {ldap::RecheckAction::report, options.recheck_max_percent, options.urls.size()}
          ),
          period(options.recheck) {}

    std::shared_ptr<ldap::Directory> directory;
    ldap::Rechecker rechecker;
    core::SteadyDuration period;
};

RecheckDriver::RecheckDriver(Deps deps)
    : deps_(std::move(deps)), timer_(deps_.reactor.io()), background_(deps_.reactor) {}

RecheckDriver::~RecheckDriver() { stop_.request_stop(); }

void RecheckDriver::use(std::shared_ptr<ldap::Directory> directory, const ldap::Options& options) {
    if (asker_ && asker_->directory == directory && asker_->period == options.recheck) return;
    timer_.cancel();
    asker_.reset();
    if (!directory || options.recheck <= ldap::Duration::zero()) {
        lost_.clear();
        deps_.metrics.set_lost_identities(0);
        return;
    }
    asker_ = std::make_shared<Asker>(std::move(directory), options);
    arm(std::min<core::SteadyDuration>(kFirst, asker_->period));
}

void RecheckDriver::arm(core::SteadyDuration pause) {
    timer_.expires_after(pause);
    timer_.async_wait(
        [this, alive = std::weak_ptr<void>(alive_)](const boost::system::error_code& error) {
            if (!error && !alive.expired()) begin();
        }
    );
}

void RecheckDriver::begin() {
    if (!asker_) return;
    // One round at a time, also where a reload came into the middle of one.
    if (round_ == Round::running)
        return arm(std::min<core::SteadyDuration>(kFirst, asker_->period));
    auto asked = deps_.mounted();
    std::erase_if(asked, [](const auto& volume) { return volume.identity.from != "ldap"; });
    round_ = Round::running;
    background_.run(
        [asker = asker_, mounts = live_mounts(asked), stop = stop_.get_token()] {
            return asker->rechecker.round(mounts, stop);
        },
        [this, asked, asker = std::weak_ptr(asker_), alive = std::weak_ptr<void>(alive_)](
            const ldap::Recheck::Outcome& outcome
        ) {
            if (alive.expired()) return;
            round_ = Round::none;
            if (!asker_ || asker.lock() != asker_) return;  // of the configuration before
            take(asked, outcome);
            arm(asker_->period);
        }
    );
}

void RecheckDriver::take(
    const std::vector<MountedVolume>& asked, const ldap::Recheck::Outcome& outcome
) {
    std::map<std::string, const MountedVolume*> by_name;
    std::set<VolumeKey> live;
    for (const auto& volume : asked) {
        by_name[name_of(volume.key)] = &volume;
        live.insert(volume.key);
    }
    std::erase_if(lost_, [&](const VolumeKey& key) { return !live.contains(key); });
    for (const auto& event : outcome.events) {
        const auto found = by_name.find(event.mount);
        if (event.kind != ldap::Recheck::Event::Kind::found || found == by_name.end()) continue;
        const auto& volume = *found->second;
        if (ldap::loses_access(event.verdict)) {
            lost_.insert(volume.key);
        } else {
            lost_.erase(volume.key);
        }
        boost::json::object fields;
        add_volume(fields, volume.key);
        add_text(fields, "source", volume.source);
        add_identity(fields, volume.identity);
        fields["verdict"] = ldap::to_string(event.verdict);
        add_text(fields, "text", event.detail);
        deps_.audit.record(recheck_event(event.verdict), std::move(fields));
    }
    deps_.metrics.set_lost_identities(lost_.size());
}

}  // namespace uidnfs::plugins
