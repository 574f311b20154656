// SPDX-License-Identifier: Apache-2.0
// Identity: who a user is, as the directory says; Failure: why it does not say. Plain data.
#pragma once

#include "core/error.hpp"
#include "mapper/ids.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::ldap {

/// AUTH_SYS carries 16 groups besides the primary one (RFC 5531 appendix A).
inline constexpr std::size_t kMaxGroups = 16;

/// A group of the user that the identity does not carry.
struct LeftOut {
    enum class Why : std::uint8_t {
        too_many,   ///< more than 16; see Options::prefer_groups
        root,       ///< gid 0
        not_an_id,  ///< not a number, or beyond 32 bits
    };
    Why why;
    std::string name;  ///< its cn, or its DN where it has none
    std::string gid;   ///< as the directory has it
    friend bool operator==(const LeftOut&, const LeftOut&) = default;
};

enum class Origin : std::uint8_t {
    directory,    ///< asked just now
    cache,        ///< verified within cache_seconds
    stale_cache,  ///< older, while every server is unreachable
};

struct Identity {
    std::string user;  ///< as it was asked for
    std::string dn;
    mapper::ServerUid uid;
    mapper::ServerGid gid;
    std::vector<mapper::ServerGid> groups = {};  ///< at most 16, without gid, no doubles
    std::vector<LeftOut> left_out = {};
    Origin origin = Origin::directory;
    std::string server = {};  ///< URL of the one that said so
    std::chrono::system_clock::time_point verified_at = {};

    /// The same to an NFS server: uid, gid and groups.
    bool same_ids(const Identity& other) const {
        return uid == other.uid && gid == other.gid && groups == other.groups;
    }
};

enum class FailureKind : std::uint8_t {
    unreachable,       ///< no server answered within the time
    no_such_user,      ///< no entry
    ambiguous,         ///< more than one entry
    bad_credentials,   ///< the password is empty or wrong
    account_disabled,  ///< disabled, locked or expired; the texts say which
    no_uid,            ///< uid or gid is missing or not an id
    not_allowed,       ///< the directory says uid or gid 0, or refuses this user a login here
    misconfigured,     ///< our configuration or the directory's does not fit; retrying is useless
};
inline constexpr std::size_t kFailureKinds = 8;

struct Failure {
    FailureKind kind = FailureKind::unreachable;
    std::string user_text = {};      ///< for whoever mounts; no names of servers or DNs
    std::string operator_text = {};  ///< for the log; no passwords
};

template <class T>
using Answer = boost::system::result<T, Failure>;

std::string_view to_string(FailureKind kind) noexcept;
std::string_view to_string(Origin origin) noexcept;
std::string_view to_string(LeftOut::Why why) noexcept;

/// "1001:1001 groups 5,7 (left out: 9 wheel (more than 16 groups))"; for logs and `resolve`.
std::string describe(const Identity& identity);

/// For callers that speak core::Outcome: errno EACCES, ETIMEDOUT, ... by kind.
core::Failure to_core(const Failure& failure);

/// Called by result::value() on an error.
[[noreturn]] void throw_exception_from_error(const Failure& failure, const boost::source_location&);

}  // namespace uidnfs::ldap
