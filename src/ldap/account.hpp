// SPDX-License-Identifier: Apache-2.0
// Whether an account may be used, from what its entry and the answer to its bind say. Pure.
#pragma once

#include "ldap/entry.hpp"
#include "ldap/identity.hpp"

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace uidnfs::ldap {

/// Attributes that say something about an account, of every directory that is understood:
/// shadowExpire (RFC 2307), pwdAccountLockedTime (ppolicy), userAccountControl and accountExpires
/// (Active Directory), nsAccountLock (389 Directory Server, FreeIPA).
std::span<const char* const> account_attributes();

/// Why the account may not be used, for users ("the account is disabled"); nothing if it may.
/// A lock with an end (pwdAccountLockedTime other than 000001010000Z) is the server's to judge,
/// for only it knows how long; see judge_bind.
std::optional<std::string> why_disabled(
    const Entry& entry, std::chrono::system_clock::time_point now
);

/// What the server answered to the user's bind.
struct BindAnswer {
    /// Errors of draft-behera-ldap-password-policy that a bind may bring.
    enum class Policy : std::uint8_t { none, password_expired, account_locked, must_change };
    int code = 0;  ///< RFC 4511 resultCode
    Policy policy = Policy::none;
    std::string text = {};  ///< diagnosticMessage
};

/// What it means: nothing when the user may log in. `unreachable` where another server may know
/// better (busy, unavailable).
struct BindVerdict {
    FailureKind kind;
    std::string why;  ///< for users
};
std::optional<BindVerdict> judge_bind(const BindAnswer& answer, const Entry& entry);

}  // namespace uidnfs::ldap
