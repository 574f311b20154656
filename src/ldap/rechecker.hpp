// SPDX-License-Identifier: Apache-2.0
// Rechecker: asks the directory about live mounts, round by round, and lets Recheck decide. Owned
// by the daemon, which calls round() every Options::recheck on a thread that may block; one round
// at a time. What the events mean for a mount is the daemon's to do.
#pragma once

#include "ldap/directory.hpp"
#include "ldap/recheck.hpp"

#include <cstddef>
#include <stop_token>
#include <string>
#include <vector>

namespace uidnfs::ldap {

class Rechecker {
public:
    /// `directory` outlives it.
    Rechecker(Directory& directory, const Options& options);
    Rechecker(Directory& directory, Recheck::Rules rules);

    /// One lookup per user, not per mount, one after the other: a round is no load to notice. A
    /// second server is asked only about users that the first does not know as they were. Every
    /// event and alarm is logged. Ends early, with nothing concluded, when `stop` is requested.
    Recheck::Outcome round(const std::vector<LiveMount>& mounts, const std::stop_token& stop = {});

    void adopt_denied(const std::string& mount) { recheck_.adopt_denied(mount); }
    void forget(const std::string& mount) { recheck_.forget(mount); }

private:
    std::vector<Answer<Identity>> ask(const LiveMount& mount);

    Directory& directory_;
    std::size_t servers_;
    Recheck recheck_;
};

}  // namespace uidnfs::ldap
