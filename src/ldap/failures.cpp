// SPDX-License-Identifier: Apache-2.0
#include "ldap/failures.hpp"

#include "core/log.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace uidnfs::ldap {
namespace {

std::string_view remedy(FailureKind kind) noexcept {
    switch (kind) {
        case FailureKind::unreachable: return "try again later";
        case FailureKind::no_such_user: return "check the user name";
        case FailureKind::ambiguous:
            return "the operator must make user_base or user_filter match one entry";
        case FailureKind::bad_credentials: return "check the password";
        case FailureKind::account_disabled:
            return "ask those who manage the directory to enable the account";
        case FailureKind::no_uid:
            return "ask those who manage the directory to give the account a uid and a gid";
        case FailureKind::not_allowed: return "use an account that may do this";
        case FailureKind::misconfigured:
            return "please contact your system administrator; trying again will not help";
    }
    return "";
}

}  // namespace

std::string quoted(std::string_view user) {
    constexpr std::size_t kShown = 64;
    const auto shown = core::log::printable(user.substr(0, kShown));
    return fmt::format("'{}{}'", shown, user.size() > kShown ? "..." : "");
}

std::string brief(std::string_view said, std::size_t most) {
    if (said.size() <= most) return std::string(said);
    return fmt::format("{}... ({} bytes)", said.substr(0, most), said.size());
}

Failure make_failure(
    FailureKind kind, std::string_view user, std::string_view why, std::string_view detail
) {
    Failure failure{kind};
    failure.user_text =
        fmt::format("cannot look up user {}: {}; {}", quoted(user), why, remedy(kind));
    failure.operator_text = failure.user_text;
    if (!detail.empty()) {
        // Of several servers, each with what it said.
        constexpr std::size_t kMostDetail = 4096;
        const auto shown = core::log::printable(brief(detail, kMostDetail));
        failure.operator_text += fmt::format(" [{}]", shown);
    }
    return failure;
}

Failure empty_password(std::string_view user) {
    return make_failure(
        FailureKind::bad_credentials,
        user,
        "LDAP username is specified but LDAP password is missing",
        "an empty password is never sent: servers take it for an anonymous bind (RFC 4513 5.1.2)"
    );
}

bool is_possible_name(std::string_view user) {
    return !user.empty() && user.size() <= kMaxUser &&
           std::ranges::none_of(user, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

Failure impossible_name(std::string_view user) {
    return make_failure(
        FailureKind::no_such_user,
        user,
        "User does not exist",
        fmt::format(
            "{} bytes; a user name has 1 to {} bytes and no control characters; no server was "
            "asked",
            user.size(),
            kMaxUser
        )
    );
}

}  // namespace uidnfs::ldap
