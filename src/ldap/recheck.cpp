// SPDX-License-Identifier: Apache-2.0
#include "ldap/recheck.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace uidnfs::ldap {
namespace {

std::string ids_of(
    mapper::ServerUid uid, mapper::ServerGid gid, const std::vector<mapper::ServerGid>& groups
) {
    Identity identity{{}, {}, uid, gid};
    identity.groups = groups;
    return describe(identity);
}

}  // namespace

std::string_view to_string(Verdict verdict) noexcept {
    switch (verdict) {
        case Verdict::unknown: return "unknown";
        case Verdict::same: return "same";
        case Verdict::changed: return "changed";
        case Verdict::replaced: return "replaced";
        case Verdict::disabled: return "disabled";
        case Verdict::gone: return "gone";
    }
    return "unknown";
}

bool loses_access(Verdict verdict) noexcept {
    switch (verdict) {
        case Verdict::replaced:
        case Verdict::disabled:
        case Verdict::gone: return true;
        case Verdict::unknown:
        case Verdict::same:
        case Verdict::changed: return false;
    }
    return false;
}

Verdict judge_answer(const LiveMount& mount, const Answer<Identity>& answer) {
    if (answer) {
        if (answer->uid != mount.uid) return Verdict::replaced;
        const bool same = answer->gid == mount.gid && answer->groups == mount.groups;
        return same ? Verdict::same : Verdict::changed;
    }
    switch (answer.error().kind) {
        case FailureKind::no_such_user:
        case FailureKind::no_uid: return Verdict::gone;
        case FailureKind::account_disabled: return Verdict::disabled;
        // uid or gid 0 now, which is not what the mount runs with.
        case FailureKind::not_allowed: return Verdict::replaced;
        case FailureKind::unreachable:
        case FailureKind::ambiguous:
        case FailureKind::bad_credentials:
        case FailureKind::misconfigured: return Verdict::unknown;
    }
    return Verdict::unknown;
}

Recheck::Judged Recheck::judge_one(
    const LiveMount& mount, const Answer<Identity>& answer, Verdict verdict
) {
    if (!answer) return {verdict, 1, {}, answer.error().operator_text};
    if (verdict == Verdict::same) return {verdict, 1, {}, answer->server};
    auto ids = ids_of(answer->uid, answer->gid, answer->groups);
    const auto mounted = ids_of(mount.uid, mount.gid, mount.groups);
    auto detail = fmt::format("now {}, mounted as {} (said by {})", ids, mounted, answer->server);
    return {verdict, 1, std::move(ids), std::move(detail)};
}

Recheck::Judged Recheck::judge(const Observation& observation) {
    Judged judged;
    for (const auto& answer : observation.answers) {
        const auto verdict = judge_answer(observation.mount, answer);
        if (verdict == Verdict::unknown) continue;
        // One server that still knows the user outweighs those that do not: a replica lags.
        const bool better =
            judged.servers > 0 && loses_access(judged.verdict) && !loses_access(verdict);
        if (judged.servers == 0 || better) {
            judged = judge_one(observation.mount, answer, verdict);
        } else if (loses_access(judged.verdict) && loses_access(verdict)) {
            ++judged.servers;
        }
    }
    return judged;
}

Recheck::Outcome Recheck::conclude(const std::vector<Observation>& round) {
    const std::size_t enough = std::clamp<std::size_t>(rules_.servers, 1, 2);
    std::map<std::string, State> next;
    std::vector<std::pair<const Observation*, Judged>> ready;  // to be denied, if the rules permit
    std::size_t losing = 0;
    Outcome outcome;
    const auto tell = [&](Event::Kind kind, const LiveMount& mount, const Judged& judged) {
        outcome.events.push_back({kind, mount.name, mount.user, judged.verdict, judged.detail});
    };
    for (const auto& observation : round) {
        const auto& mount = observation.mount;
        const auto known = mounts_.find(mount.name);
        auto state = known != mounts_.end() ? known->second : State{};
        const auto judged = judge(observation);
        const bool other = judged.verdict != state.verdict || judged.ids != state.ids;
        if (judged.verdict != Verdict::unknown && other) {
            state.verdict = judged.verdict;
            state.ids = judged.ids;
            tell(Event::Kind::found, mount, judged);
        }
        if (loses_access(judged.verdict) && judged.servers >= enough) {
            ++state.rounds_lost;
            if (state.rounds_lost >= rules_.rounds && state.denied == Denied::no) {
                ready.emplace_back(&observation, judged);
            }
        } else {
            state.rounds_lost = 0;  // also where nobody answered: a row has no gaps
        }
        const bool good = judged.verdict == Verdict::same || judged.verdict == Verdict::changed;
        if (good && state.denied == Denied::yes) {
            state.denied = Denied::no;
            tell(Event::Kind::give_back, mount, judged);
        }
        if (loses_access(judged.verdict) || state.denied == Denied::yes) ++losing;
        next[mount.name] = state;
    }
    mounts_ = std::move(next);
    if (rules_.action == RecheckAction::report) return outcome;
    if (losing * 100 > rules_.max_percent * round.size()) {
        outcome.alarm = Outcome::Alarm{losing, round.size()};
        return outcome;
    }
    for (const auto& [observation, judged] : ready) {
        mounts_[observation->mount.name].denied = Denied::yes;
        tell(Event::Kind::deny, observation->mount, judged);
    }
    return outcome;
}

bool Recheck::is_denied(const std::string& mount) const {
    const auto it = mounts_.find(mount);
    return it != mounts_.end() && it->second.denied == Denied::yes;
}

}  // namespace uidnfs::ldap
