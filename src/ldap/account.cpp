// SPDX-License-Identifier: Apache-2.0
#include "ldap/account.hpp"

#include <fmt/format.h>
#include <ldap.h>
#include <strings.h>

#include <charconv>

namespace uidnfs::ldap {
namespace {

using std::chrono::system_clock;

constexpr const char* kAttributes[] = {
    "shadowExpire",
    "pwdAccountLockedTime",
    "userAccountControl",
    "accountExpires",
    "nsAccountLock",
};

constexpr const char* kDisabled = "the account is disabled";
constexpr const char* kExpired = "the account has expired";
constexpr const char* kLocked = "the account is locked";
constexpr const char* kPasswordExpired = "the password has expired";
constexpr const char* kMustChange = "the password must be changed before it can be used";

/// userAccountControl: ADS_UF_ACCOUNTDISABLE.
constexpr std::int64_t kAccountDisable = 0x2;
/// accountExpires: 100 ns since 1601; both of these mean never.
constexpr std::int64_t kNever = 0x7fff'ffff'ffff'ffff;
constexpr std::int64_t kSecondsFrom1601To1970 = 11'644'473'600;

std::optional<std::int64_t> number(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

bool is_expired_shadow(std::string_view text, system_clock::time_point now) {
    // Days; shadow(5): -1 is never. 0 is read as expired: the safe one of its two readings.
    const auto days = number(text);
    if (!days || *days < 0) return false;
    const auto today = std::chrono::floor<std::chrono::days>(now).time_since_epoch().count();
    return today >= *days;
}

bool is_expired_windows(std::string_view text, system_clock::time_point now) {
    const auto ticks = number(text);
    if (!ticks || *ticks <= 0 || *ticks == kNever) return false;
    const auto seconds = *ticks / 10'000'000 - kSecondsFrom1601To1970;
    return std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count() >=
           seconds;
}

/// Active Directory puts its reason into the text of "invalid credentials": "..., data 533, v...".
std::optional<BindVerdict> judge_active_directory(std::string_view text) {
    const auto at = text.find(", data ");
    if (at == std::string_view::npos || text.find("AcceptSecurityContext") == text.npos) return {};
    auto code = text.substr(at + 7);
    code = code.substr(0, code.find(','));
    if (code == "525") return BindVerdict{FailureKind::no_such_user, "User does not exist"};
    if (code == "530" || code == "531") {
        return BindVerdict{
            FailureKind::not_allowed, "the directory does not let this user log in here or now"};
    }
    if (code == "532") return BindVerdict{FailureKind::account_disabled, kPasswordExpired};
    if (code == "533") return BindVerdict{FailureKind::account_disabled, kDisabled};
    if (code == "701") return BindVerdict{FailureKind::account_disabled, kExpired};
    if (code == "773") return BindVerdict{FailureKind::account_disabled, kMustChange};
    if (code == "775") return BindVerdict{FailureKind::account_disabled, kLocked};
    return {};
}

}  // namespace

std::span<const char* const> account_attributes() { return kAttributes; }

std::optional<std::string> why_disabled(const Entry& entry, system_clock::time_point now) {
    if (const auto flags = number(entry.value("userAccountControl"));
        flags && (*flags & kAccountDisable) != 0) {
        return kDisabled;
    }
    if (const auto lock = entry.value("nsAccountLock");
        lock.size() == 4 && strncasecmp(lock.data(), "true", 4) == 0) {
        return kDisabled;
    }
    if (entry.value("pwdAccountLockedTime") == "000001010000Z") return kLocked;
    if (is_expired_shadow(entry.value("shadowExpire"), now)) return kExpired;
    if (is_expired_windows(entry.value("accountExpires"), now)) return kExpired;
    return std::nullopt;
}

std::optional<BindVerdict> judge_bind(const BindAnswer& answer, const Entry& entry) {
    // The policy speaks whatever the result is: a lock hides behind "invalid credentials", and a
    // password that must be changed behind success.
    switch (answer.policy) {
        case BindAnswer::Policy::account_locked:
            return BindVerdict{FailureKind::account_disabled, kLocked};
        case BindAnswer::Policy::password_expired:
            return BindVerdict{FailureKind::account_disabled, kPasswordExpired};
        case BindAnswer::Policy::must_change:
            return BindVerdict{FailureKind::account_disabled, kMustChange};
        case BindAnswer::Policy::none: break;
    }
    switch (answer.code) {
        case LDAP_SUCCESS: return std::nullopt;
        case LDAP_INVALID_CREDENTIALS:
        case LDAP_INAPPROPRIATE_AUTH:
            if (auto verdict = judge_active_directory(answer.text)) return verdict;
            if (!entry.value("pwdAccountLockedTime").empty()) {
                return BindVerdict{FailureKind::account_disabled, kLocked};
            }
            return BindVerdict{FailureKind::bad_credentials, "the password is wrong"};
        case LDAP_NO_SUCH_OBJECT:
            return BindVerdict{FailureKind::no_such_user, "User does not exist"};
        case LDAP_UNWILLING_TO_PERFORM:
        case LDAP_INSUFFICIENT_ACCESS:
        case LDAP_CONSTRAINT_VIOLATION:
            return BindVerdict{
                FailureKind::not_allowed, "the directory does not let this user log in"};
        case LDAP_CONFIDENTIALITY_REQUIRED:
        case LDAP_STRONG_AUTH_REQUIRED:
        case LDAP_AUTH_METHOD_NOT_SUPPORTED:
        case LDAP_INVALID_DN_SYNTAX:
        case LDAP_PROTOCOL_ERROR:
        case LDAP_REFERRAL:
            return BindVerdict{
                FailureKind::misconfigured, "the directory does not accept this way to log in"};
        default: return BindVerdict{FailureKind::unreachable, "the directory could not answer"};
    }
}

}  // namespace uidnfs::ldap
