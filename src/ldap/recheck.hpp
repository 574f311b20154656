// SPDX-License-Identifier: Apache-2.0
// Recheck: what the directory says today about the identities of live mounts, and which of them
// lose access for it. Pure decisions over rounds of answers; rechecker.hpp asks. Not thread-safe.
//
// Nothing is denied for what may be the directory's own accident: a user must be found gone in two
// rounds in a row, by two servers each time where there are two; and if in one round more than
// `max_percent` of all mounts would be without access, none is denied and an alarm is raised. One
// good answer gives access back.
#pragma once

#include "ldap/identity.hpp"
#include "ldap/options.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::ldap {

/// What a mount runs with.
struct LiveMount {
    std::string name;  ///< unique; of the volume
    std::string user;
    mapper::ServerUid uid;
    mapper::ServerGid gid;
    std::vector<mapper::ServerGid> groups = {};
};

/// What the directory says about one mount's identity.
enum class Verdict : std::uint8_t {
    unknown,   ///< nobody could be asked, or the answer is unclear: nothing follows from it
    same,      ///< as it was
    changed,   ///< gid or groups differ: the mount keeps the old ones until it is made anew
    replaced,  ///< the user has another uid: the old one may be somebody else's by now
    disabled,  ///< disabled, locked, expired
    gone,      ///< no such user, or one without uid
};
std::string_view to_string(Verdict verdict) noexcept;
/// replaced, disabled, gone
bool loses_access(Verdict verdict) noexcept;

/// By one server's answer. Failures that say more about us than about the user are unknown.
Verdict judge_answer(const LiveMount& mount, const Answer<Identity>& answer);

class Recheck {
public:
    struct Rules {
        RecheckAction action = RecheckAction::report;
        std::uint32_t max_percent = 20;  ///< of the mounts, 1-100
        std::size_t servers = 1;         ///< of the configuration
        std::uint32_t rounds = 2;        ///< in a row
    };
    explicit Recheck(Rules rules) : rules_(rules) {}

    /// All answers of one round about one mount: one per server that was asked.
    struct Observation {
        LiveMount mount;
        std::vector<Answer<Identity>> answers;
    };
    /// Something that changed in this round, for log and audit.
    struct Event {
        enum class Kind : std::uint8_t {
            found,      ///< another verdict than before, or other ids
            deny,       ///< take its access away
            give_back,  ///< let it work again
        };
        Kind kind;
        std::string mount;
        std::string user;
        Verdict verdict;
        std::string detail;  ///< of the directory, for the operator
    };
    struct Outcome {
        std::vector<Event> events = {};
        /// So many of the mounts would be without access that none is denied; never of a report.
        struct Alarm {
            std::size_t losing;
            std::size_t mounts;
        };
        std::optional<Alarm> alarm = {};
    };
    /// Mounts that are not named any more are forgotten.
    Outcome conclude(const std::vector<Observation>& round);

    /// For mounts that a restart found denied: they stay so until an answer says otherwise.
    void adopt_denied(const std::string& mount) { mounts_[mount].denied = Denied::yes; }
    /// For mounts that were made anew: what was found of the old one is not theirs.
    void forget(const std::string& mount) { mounts_.erase(mount); }
    bool is_denied(const std::string& mount) const;

private:
    enum class Denied : std::uint8_t { no, yes };
    struct State {
        Verdict verdict = Verdict::same;
        std::string ids = {};  ///< that were told
        std::uint32_t rounds_lost = 0;
        Denied denied = Denied::no;
    };
    struct Judged {
        Verdict verdict = Verdict::unknown;
        std::size_t servers = 0;  ///< that agree on it
        std::string ids = {};     ///< in the directory, where they differ
        std::string detail = {};
    };
    static Judged judge_one(
        const LiveMount& mount, const Answer<Identity>& answer, Verdict verdict
    );
    static Judged judge(const Observation& observation);

    Rules rules_;
    std::map<std::string, State> mounts_;
};

}  // namespace uidnfs::ldap
