// SPDX-License-Identifier: Apache-2.0
// Options: the [ldap] part of the service configuration, as values. Names are those of the TOML
// keys. Plain data, owned by whoever makes the Directory; check.hpp says what is wrong with it.
#pragma once

#include "core/secret.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::ldap {

using Duration = std::chrono::milliseconds;

/// What the directory calls things. Empty names are not asked for.
struct Attributes {
    std::string uid = "uidNumber";        ///< of the user's entry
    std::string gid = "gidNumber";        ///< of the user's entry: the primary group
    std::string group_gid = "gidNumber";  ///< of a group's entry
    std::string group_name = "cn";        ///< of a group's entry, for logs and `resolve`
    /// Of the user's entry: DNs of groups ("memberOf"). Each is read by its DN, also those of
    /// group_filter; an empty name leaves it to group_filter alone.
    std::string member_of = {};

    friend bool operator==(const Attributes&, const Attributes&) = default;
};

enum class RecheckAction : std::uint8_t { report, deny };

struct Options {
    /// ldap://host[:port], ldaps://host[:port], ldapi://%2Fpath; the first is preferred.
    std::vector<std::string> urls;
    bool start_tls = false;        ///< for ldap:// URLs
    std::string ca_file = {};      ///< empty: the system's CAs
    std::string ca_pem = {};       ///< the certificates themselves (LDAP_CA_CERT of the old driver)
    bool allow_plaintext = false;  ///< ldap:// without StartTLS to other than loopback addresses

    std::string bind_dn = {};  ///< empty: anonymous
    core::Secret bind_password;

    /// {username} in a base is escaped by RFC 4514, {username} and {dn} in a filter by RFC 4515.
    std::string user_base = {};
    std::string user_filter = "(&(objectClass=posixAccount)(uid={username}))";
    std::string group_base = {};  ///< empty: group_filter is not used
    std::string group_filter = "(&(objectClass=posixGroup)(memberUid={username}))";
    Attributes attributes = {};

    /// Bind as the user. Without it the password is not looked at: whoever may ask is believed.
    bool verify_password = true;

    std::optional<std::uint32_t> default_gid = {};  ///< when the user's entry has no gid
    bool gid_from_uid = false;                      ///< same case: the old driver's rule
    std::vector<std::uint32_t> prefer_groups = {};  ///< kept first where there are more than 16
    bool allow_root_identity = false;               ///< [policy] allow_root_identity

    Duration timeout = std::chrono::seconds(3);  ///< in all, over all servers
    Duration cache = std::chrono::seconds(300);
    Duration negative_cache = std::chrono::seconds(30);
    Duration cache_stale = std::chrono::seconds(3600);  ///< 0: never
    Duration recheck = std::chrono::seconds(900);       ///< 0: never
    RecheckAction recheck_action = RecheckAction::report;
    std::uint32_t recheck_max_percent = 20;  ///< 1-100

    std::string cache_file = {};  ///< identities across a restart; empty: in memory only
    std::uint32_t threads = 4;    ///< lookups at a time, 1-64
};

/// A second one, with a copy of the password.
Options clone(const Options& options);
/// Whether a Directory of the one would do what a Directory of the other does.
bool same(const Options& a, const Options& b);

}  // namespace uidnfs::ldap
