// SPDX-License-Identifier: Apache-2.0
// What the mounter asks before it mounts: is this a mount that the operator's policy and options
// allow, whoever asks? The front is not believed, and none of its words reach a command line: what
// counts, and what the mount gets, is what the one option table makes of them. Pure.
#pragma once

#include "config/mount_options.hpp"
#include "plugins/mounter/protocol.hpp"
#include "plugins/policy/policy.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace uidnfs::plugins::mounter {

/// What the operator's configuration says, as the mounter read it.
struct Allowed {
    policy::Policy policy = {};
    /// Hold unless a caller says otherwise, where callers may (column P of the table).
    std::vector<config::RawOption> defaults = {};
    /// Fixed and forced ones: hold whatever anybody says.
    std::vector<config::RawOption> imposed = {};
    /// Of column P, what callers may set here; empty: all of it.
    std::vector<std::string> callers = {};
    std::size_t max_mounts = 1000;
    std::uint64_t write_behind_total = 1ull << 30;  ///< bytes, of all workers
};

/// A mount that may be made once the addresses of its host are known to be allowed.
struct Checked {
    config::Source source = {};
    std::vector<config::RawOption> options = {};  ///< all that are in effect, canonical
    policy::Plugin plugin = policy::Plugin::docker;
    policy::IdentitySource identity_source = policy::IdentitySource::declared;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> gids = {};
    std::uint16_t port = 2049;
    std::uint64_t write_behind = 0;  ///< bytes that it wants
};

/// EPERM, EINVAL: no such request comes from a front that is in order.
core::Outcome<Checked> check_request(const Request& request, const Allowed& allowed);

/// `addresses` are all that the host means. EACCES with the rule that stands in the way.
core::Outcome<policy::Decision> check_policy(
    const Checked& mount, const Allowed& allowed, std::span<const policy::Address> addresses
);

}  // namespace uidnfs::plugins::mounter
