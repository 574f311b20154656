// SPDX-License-Identifier: Apache-2.0
// RecheckDriver: every recheck_seconds the directory is asked about the identities of live mounts;
// what it no longer knows as it was goes to audit, metrics and log, and with recheck_action = deny
// to the workers (Denials). It asks on a thread of its own. Lives on the reactor's thread; owned by main(), until the reactor ends.
#pragma once

#include "core/reactor.hpp"
#include "ldap/rechecker.hpp"
#include "plugins/core/background.hpp"
#include "plugins/observe/audit_log.hpp"
#include "plugins/observe/denials.hpp"
#include "plugins/observe/metrics.hpp"
#include "plugins/observe/mounted_volume.hpp"

#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <stop_token>
#include <string_view>
#include <vector>

namespace uidnfs::plugins {

/// "identity gone", "identity changed" or "identity known again".
std::string_view recheck_event(ldap::Verdict verdict) noexcept;

class RecheckDriver {
public:
    struct Deps {
        core::Reactor& reactor;
        std::function<std::vector<MountedVolume>()> mounted;  ///< mounted_volumes()
        AuditLog& audit;
        Metrics& metrics;
        Inspector& inspector;
        Denials::Limits limits = {};
        std::function<void(const VolumeKey&)> changed = {};  ///< of Denials
    };

    explicit RecheckDriver(Deps deps);
    RecheckDriver(const RecheckDriver&) = delete;
    RecheckDriver& operator=(const RecheckDriver&) = delete;
    /// Ends a round early: waits at most for the answer to one question.
    ~RecheckDriver();

    /// At the start and after each reload; the same directory again changes nothing. Null: there
    /// is none, nobody is asked. With recheck_seconds = 0 neither.
    /// Where there is no recheck, or one that only reports, those that are denied get access back.
    void use(std::shared_ptr<ldap::Directory> directory, const ldap::Options& options);

    /// To be told what workers say.
    StatusListener& listener() noexcept { return denials_; }

private:
    struct Asker;

    void arm(core::SteadyDuration pause);
    void begin();
    void take(const std::vector<MountedVolume>& asked, const ldap::Recheck::Outcome& outcome);

    Deps deps_;
    Denials denials_;
    std::shared_ptr<Asker> asker_;  // null: nobody is asked
    std::set<VolumeKey> lost_;
    boost::asio::steady_timer timer_;
    enum class Round : std::uint8_t { none, running } round_ = Round::none;
    std::stop_source stop_;
    std::shared_ptr<void> alive_ = std::make_shared<int>();
    Background background_;  // last: its end waits for the round
};

}  // namespace uidnfs::plugins
