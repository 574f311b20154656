// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/resolve_report.hpp"

#include "core/log.hpp"
#include "core/text.hpp"

#include <boost/json.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <vector>

namespace uidnfs::plugins {
namespace {

namespace json = boost::json;
using core::log::printable;

std::vector<std::uint32_t> numbers(const std::vector<mapper::ServerGid>& groups) {
    std::vector<std::uint32_t> out;
    for (const auto group : groups) out.push_back(group.value());
    return out;
}

std::string utc(std::chrono::system_clock::time_point when) {
    const auto seconds = std::chrono::system_clock::to_time_t(when);
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(seconds));
}

bool is_allowed(const policy::Policy& policy, const policy::IdentityView& seen) {
    return !seen.rules.empty() || policy.mode == policy::Mode::report;
}

std::string utf8(std::string_view text) { return core::with_valid_utf8(printable(text)); }

}  // namespace

policy::IdentityView view(const policy::Policy& policy, const ldap::Identity& identity) {
    const auto groups = numbers(identity.groups);
    return policy::view_identity(
        policy, policy::IdentitySource::ldap, identity.uid.value(), identity.gid.value(), groups
    );
}

std::string human_report(const ldap::Identity& identity, const policy::Policy& policy) {
    const auto row = [](std::string_view name, std::string_view value) {
        return fmt::format("{:<10}{}\n", name, printable(value));
    };
    const auto groups = numbers(identity.groups);
    std::string out;
    out += row("user", identity.user);
    out += row("dn", identity.dn);
    out += row("uid", fmt::format("{}", identity.uid.value()));
    out += row("gid", fmt::format("{}", identity.gid.value()));
    out += row("groups", groups.empty() ? "none" : fmt::format("{}", fmt::join(groups, ", ")));
    for (const auto& each : identity.left_out) {
        out += row("left out", fmt::format("{} {} ({})", each.gid, each.name, to_string(each.why)));
    }
    out += row("from", fmt::format("{} ({})", identity.server, to_string(identity.origin)));
    out += row("verified", utc(identity.verified_at));
    const auto seen = view(policy, identity);
    const bool is_reported = seen.rules.empty() && policy.mode == policy::Mode::report;
    out +=
        row("policy",
            !seen.rules.empty() ? fmt::format("allowed by {}, for its shares", seen.text)
            : is_reported ? fmt::format("passes, because mode is \"report\"; else: {}", seen.text)
                          : fmt::format("refused: {}", seen.text));
    return out;
}

std::string json_report(const ldap::Identity& identity, const policy::Policy& policy) {
    json::array left_out;
    for (const auto& each : identity.left_out) {
        left_out.push_back(
            {{"gid", utf8(each.gid)},
             {"name", utf8(each.name)},
             {"why", std::string(to_string(each.why))}}
        );
    }
    const auto seen = view(policy, identity);
    json::object said{
        {"allowed", is_allowed(policy, seen)},
        {"mode", std::string(to_string(policy.mode))},
        {"rules", json::value_from(seen.rules)},
        {"reason", std::string(to_string(seen.reason))},
        {"text", utf8(seen.text)}};
    const json::object out{
        {"user", utf8(identity.user)},
        {"dn", utf8(identity.dn)},
        {"uid", identity.uid.value()},
        {"gid", identity.gid.value()},
        {"groups", json::value_from(numbers(identity.groups))},
        {"left_out", std::move(left_out)},
        {"identity_source", "ldap"},
        {"origin", std::string(to_string(identity.origin))},
        {"server", utf8(identity.server)},
        {"verified_at", utc(identity.verified_at)},
        {"policy", std::move(said)}};
    return json::serialize(out) + "\n";
}

std::string json_report(std::string_view user, const ldap::Failure& failure) {
    const json::object out{
        {"user", utf8(user)},
        {"error",
         {{"kind", std::string(to_string(failure.kind))},
          {"text", utf8(failure.user_text)},
          {"operator_text", utf8(failure.operator_text)}}}};
    return json::serialize(out) + "\n";
}

}  // namespace uidnfs::plugins
