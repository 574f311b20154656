// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/recheck_driver.hpp"

#include "core/log.hpp"

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

/// As `uidnfs status` and the audit show it.
std::string reason_of(const ldap::Recheck::Event& event) {
    const auto user = core::log::printable(event.user);
    switch (event.verdict) {
        case ldap::Verdict::replaced:
            return fmt::format("user {} has other ids in the directory", user);
        case ldap::Verdict::disabled: return fmt::format("user {} is disabled", user);
        case ldap::Verdict::gone:
        case ldap::Verdict::unknown:
        case ldap::Verdict::same:
        case ldap::Verdict::changed: break;
    }
    return fmt::format("the directory does not know user {} any more", user);
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
          rules{options.recheck_action, options.recheck_max_percent, options.urls.size()},
          rechecker(*directory, rules),
          period(options.recheck) {}

    bool is_like(const std::shared_ptr<ldap::Directory>& other, const ldap::Options& options) const {
        return directory == other && period == options.recheck &&
               rules.action == options.recheck_action &&
               rules.max_percent == options.recheck_max_percent;
    }

    std::shared_ptr<ldap::Directory> directory;
    ldap::Recheck::Rules rules;
    ldap::Rechecker rechecker;
    core::SteadyDuration period;
};

RecheckDriver::RecheckDriver(Deps deps)
    : deps_(std::move(deps)),
      denials_(
          {deps_.reactor, deps_.inspector, deps_.audit, deps_.metrics, deps_.changed}, deps_.limits
      ),
      timer_(deps_.reactor.io()),
      background_(deps_.reactor) {}

RecheckDriver::~RecheckDriver() { stop_.request_stop(); }

void RecheckDriver::use(std::shared_ptr<ldap::Directory> directory, const ldap::Options& options) {
    if (asker_ && asker_->is_like(directory, options)) return;
    timer_.cancel();
    asker_.reset();
    const bool asks = directory && options.recheck > ldap::Duration::zero();
    const bool acts = asks && options.recheck_action == ldap::RecheckAction::deny;
    denials_.set_mode(acts ? Denials::Mode::enforce : Denials::Mode::release);
    if (!asks) {
        lost_.clear();
        deps_.metrics.set_lost_identities(0);
        return;
    }
    asker_ = std::make_shared<Asker>(std::move(directory), options);
    for (const auto& volume : denials_.denied()) asker_->rechecker.adopt_denied(name_of(volume));
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
        [asker = asker_,
         mounts = live_mounts(asked),
         news = denials_.take_news(),
         stop = stop_.get_token()] {
            for (const auto& volume : news.gone) asker->rechecker.forget(name_of(volume));
            for (const auto& volume : news.found) asker->rechecker.adopt_denied(name_of(volume));
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
        if (found == by_name.end()) continue;
        const auto& volume = *found->second;
        using Kind = ldap::Recheck::Event::Kind;
        if (event.kind == Kind::deny) {
            denials_.take_away(volume, reason_of(event));
            continue;
        }
        if (event.kind == Kind::give_back) {
            denials_.give_back(volume.key);
            continue;
        }
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
