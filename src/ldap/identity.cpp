// SPDX-License-Identifier: Apache-2.0
#include "ldap/identity.hpp"

#include "core/log.hpp"
#include "ldap/failures.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <stdexcept>

namespace uidnfs::ldap {

std::string_view to_string(FailureKind kind) noexcept {
    switch (kind) {
        case FailureKind::unreachable: return "unreachable";
        case FailureKind::no_such_user: return "no_such_user";
        case FailureKind::ambiguous: return "ambiguous";
        case FailureKind::bad_credentials: return "bad_credentials";
        case FailureKind::account_disabled: return "account_disabled";
        case FailureKind::no_uid: return "no_uid";
        case FailureKind::not_allowed: return "not_allowed";
        case FailureKind::misconfigured: return "misconfigured";
    }
    return "unknown";
}

std::string_view to_string(Origin origin) noexcept {
    switch (origin) {
        case Origin::directory: return "directory";
        case Origin::cache: return "cache";
        case Origin::stale_cache: return "stale_cache";
    }
    return "unknown";
}

std::string_view to_string(LeftOut::Why why) noexcept {
    switch (why) {
        case LeftOut::Why::too_many: return "more than 16 groups";
        case LeftOut::Why::root: return "gid 0";
        case LeftOut::Why::not_an_id: return "not a group id";
    }
    return "unknown";
}

namespace {

/// Some users are in thousands of groups; a line of the log is not the place for all of them.
constexpr std::size_t kShownLeftOut = 40;
constexpr std::size_t kMostOfAName = 64;

}  // namespace

std::string describe(const Identity& identity) {
    auto out = fmt::format("{}:{}", identity.uid.value(), identity.gid.value());
    const char* separator = " groups ";
    for (const auto group : identity.groups) {
        out += fmt::format("{}{}", separator, group.value());
        separator = ",";
    }
    separator = " (left out: ";
    std::size_t shown = 0;
    for (const auto& group : identity.left_out) {
        if (++shown > kShownLeftOut) {
            out += fmt::format(" and {} more", identity.left_out.size() - kShownLeftOut);
            break;
        }
        out += fmt::format(
            "{}{} {}: {}",
            separator,
            core::log::printable(brief(group.gid, kMostOfAName)),
            core::log::printable(brief(group.name, kMostOfAName)),
            to_string(group.why)
        );
        separator = ", ";
    }
    if (!identity.left_out.empty()) out += ")";
    return out;
}

namespace {

int errno_of(FailureKind kind) noexcept {
    switch (kind) {
        case FailureKind::unreachable: return ETIMEDOUT;
        case FailureKind::no_such_user: return ENOENT;
        case FailureKind::ambiguous: return ENOTUNIQ;
        case FailureKind::bad_credentials: return EACCES;
        case FailureKind::account_disabled: return EACCES;
        case FailureKind::no_uid: return ENODATA;
        case FailureKind::not_allowed: return EPERM;
        case FailureKind::misconfigured: return EINVAL;
    }
    return EINVAL;
}

}  // namespace

core::Failure to_core(const Failure& failure) {
    // Its callers log both texts, one after the other.
    std::string_view detail = failure.operator_text;
    if (detail.starts_with(failure.user_text)) detail.remove_prefix(failure.user_text.size());
    if (detail.starts_with(' ')) detail.remove_prefix(1);
    return {errno_of(failure.kind), failure.user_text, std::string(detail)};
}

void throw_exception_from_error(const Failure& failure, const boost::source_location&) {
    throw std::runtime_error(failure.user_text);
}

}  // namespace uidnfs::ldap
