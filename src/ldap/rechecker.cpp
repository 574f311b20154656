// SPDX-License-Identifier: Apache-2.0
#include "ldap/rechecker.hpp"

#include "core/log.hpp"
#include "ldap/failures.hpp"

#include <map>
#include <utility>

namespace uidnfs::ldap {
namespace {

void log_event(const Recheck::Event& event) {
    const auto user = quoted(event.user);
    const auto mount = core::log::printable(event.mount);
    switch (event.kind) {
        case Recheck::Event::Kind::found:
            if (event.verdict == Verdict::same) {
                core::log::info("recheck: user {} of {} is as it was again", user, mount);
            } else if (event.verdict == Verdict::changed) {
                core::log::warning(
                    "recheck: user {} of {}: changed [{}]; it keeps its groups until it is mounted "
                    "anew",
                    user,
                    mount,
                    event.detail
                );
            } else {
                core::log::warning(
                    "recheck: user {} of {}: {} [{}]",
                    user,
                    mount,
                    to_string(event.verdict),
                    event.detail
                );
            }
            return;
        case Recheck::Event::Kind::deny:
            core::log::warning(
                "recheck: user {} is {}: {} loses access", user, to_string(event.verdict), mount
            );
            return;
        case Recheck::Event::Kind::give_back:
            core::log::info("recheck: {} of user {} has access again", mount, user);
            return;
    }
}

}  // namespace

Rechecker::Rechecker(Directory& directory, const Options& options)
    : Rechecker(
          directory, {options.recheck_action, options.recheck_max_percent, options.urls.size()}
      ) {}

Rechecker::Rechecker(Directory& directory, Recheck::Rules rules)
    : directory_(directory), servers_(rules.servers), recheck_(rules) {}

Recheck::Outcome Rechecker::round(
    const std::vector<LiveMount>& mounts, const std::stop_token& stop
) {
    // By user and uid: mounts of one user may be older than a change of its uid.
    std::map<std::pair<std::string, mapper::ServerUid>, std::vector<Answer<Identity>>> asked;
    std::vector<Recheck::Observation> observations;
    for (const auto& mount : mounts) {
        if (stop.stop_requested()) return {};
        const std::pair key{mount.user, mount.uid};
        auto it = asked.find(key);
        if (it == asked.end()) it = asked.emplace(key, ask(mount)).first;
        observations.push_back({mount, it->second});
    }
    auto outcome = recheck_.conclude(observations);
    for (const auto& event : outcome.events) log_event(event);
    if (outcome.alarm) {
        core::log::error(
            "recheck: {} of {} mounts would be without access at once; that looks like an accident "
            "of the directory, and nothing is taken away",
            outcome.alarm->losing,
            outcome.alarm->mounts
        );
    }
    return outcome;
}

std::vector<Answer<Identity>> Rechecker::ask(const LiveMount& mount) {
    std::vector<Answer<Identity>> answers;
    const auto servers = directory_.servers();
    std::size_t said = 0;
    // Those known to be down come last, as everywhere.
    for (const auto down : {false, true}) {
        for (std::size_t i = 0; i < servers_; ++i) {
            if ((servers[i].state == Directory::Server::State::down) != down) continue;
            answers.push_back(directory_.look_up(mount.user, i));
            const auto verdict = judge_answer(mount, answers.back());
            if (verdict == Verdict::unknown) continue;
            if (!loses_access(verdict) || ++said == 2) return answers;
        }
    }
    return answers;
}

}  // namespace uidnfs::ldap
