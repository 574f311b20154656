// SPDX-License-Identifier: Apache-2.0
// Policy: whose files this service may touch. decide() is the only place that says yes; the front
// asks it, and the root mounter asks it again with the final identity and address. Immutable once
// read; pure; any thread.
#pragma once

#include "plugins/policy/address.hpp"
#include "plugins/policy/id_ranges.hpp"
#include "plugins/policy/share.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins::policy {

enum class Plugin : std::uint8_t { docker, cloudfoundry };
std::string_view to_string(Plugin plugin) noexcept;

/// Where uid and gid of a mount come from: its caller's options, or the directory.
enum class IdentitySource : std::uint8_t { declared, ldap };
std::string_view to_string(IdentitySource source) noexcept;

enum class RequiredIdentity : std::uint8_t { declared, ldap, either };
std::string_view to_string(RequiredIdentity identity) noexcept;

enum class Mode : std::uint8_t {
    enforce,
    report,  ///< what a rule would refuse passes and is told; what no rule could allow does not
};
std::string_view to_string(Mode mode) noexcept;

enum class RootIdentity : std::uint8_t { refused, by_rule };

/// Everything in it must hold for one mount.
struct Rule {
    std::string name = {};             ///< for messages; may be empty
    std::vector<Plugin> plugins = {};  ///< empty: all
    std::vector<SharePattern> sources = {};
    std::vector<std::uint16_t> ports = {2049};
    std::vector<IdRange> uids = {};
    std::vector<IdRange> gids = {};
};

struct Policy {
    RequiredIdentity identity = RequiredIdentity::declared;
    Mode mode = Mode::enforce;
    RootIdentity root_identity = RootIdentity::refused;
    std::vector<Rule> rules = {};
};

/// One mount, as it would be made.
struct Request {
    Plugin plugin = Plugin::docker;
    IdentitySource identity_source = IdentitySource::declared;
    std::string_view host = {};               ///< without brackets
    std::string_view path = {};               ///< the export
    std::span<const Address> addresses = {};  ///< every one that the host resolved to
    std::uint16_t port = 2049;                ///< of NFS
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::span<const std::uint32_t> groups = {};
};

/// What stood in the way, in the order of the checks: of several rules the one that came farthest
/// is told.
enum class Reason : std::uint8_t {
    none,
    share,            ///< it is none, or has more than one spelling
    no_address,       ///< the host did not resolve, so nothing can be checked
    root_identity,    ///< uid, gid or a group is 0
    no_id,            ///< uid, gid or a group is 2^32-1
    identity_source,  ///< declared where the directory is to be asked, or the other way round
    no_rule,          ///< there are none
    plugin,
    source,
    address,  ///< loopback or link-local, and the rule does not name it
    port,
    uid,
    gid,
    group,
};
std::string_view to_string(Reason reason) noexcept;

struct Decision {
    enum class Verdict : std::uint8_t {
        allowed,
        reported,  ///< allowed because of Mode::report; `text` says what would have been refused
        refused,
    };
    Verdict verdict = Verdict::refused;
    Reason reason = Reason::none;
    std::size_t rule = 0;  ///< counted from 1; the one that allows, or came nearest; 0: none
    /// "allowed by rule 2 (team-a)"; "rule 1: uid 500 is not among 1000-59999; use ..."
    std::string text = {};

    bool may_mount() const noexcept { return verdict != Verdict::refused; }
};

Decision decide(const Policy& policy, const Request& request);

/// As far as it can be said without a share: whether the ids pass, and which rules (counted from 1)
/// would take them.
struct IdentityView {
    Reason reason = Reason::none;
    std::vector<std::size_t> rules = {};
    std::string text = {};
};

IdentityView view_identity(
    const Policy& policy,
    IdentitySource source,
    std::uint32_t uid,
    std::uint32_t gid,
    std::span<const std::uint32_t> groups
);

/// "rule 2 (team-a)"
std::string describe_rule(const Policy& policy, std::size_t rule);

}  // namespace uidnfs::plugins::policy
