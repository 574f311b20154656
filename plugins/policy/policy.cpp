// SPDX-License-Identifier: Apache-2.0
#include "plugins/policy/policy.hpp"

#include "mapper/ids.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace uidnfs::plugins::policy {
namespace {

/// Why not; Reason::none: nothing stands in the way.
struct Obstacle {
    Reason reason = Reason::none;
    std::string text = {};

    explicit operator bool() const noexcept { return reason != Reason::none; }
};

struct Ids {
    std::uint32_t uid;
    std::uint32_t gid;
    std::span<const std::uint32_t> groups;
};

/// What no rule can allow.
Obstacle check_ids(const Policy& policy, const Ids& ids) {
    const auto has = [&](std::uint32_t id) {
        return std::find(ids.groups.begin(), ids.groups.end(), id) != ids.groups.end();
    };
    if (ids.uid == mapper::kNoId || ids.gid == mapper::kNoId || has(mapper::kNoId)) {
        return {Reason::no_id, "4294967295 is nobody's id; correct the identity"};
    }
    if (policy.root_identity == RootIdentity::by_rule) return {};
    const auto what = ids.uid == 0   ? "uid 0"
                      : ids.gid == 0 ? "gid 0"
                      : has(0)       ? "group 0"
                                     : nullptr;
    if (!what) return {};
    return {
        Reason::root_identity,
        fmt::format(
            "{} is root on the server; use another identity, or allow_root_identity = true and a "
            "rule with \"0\"",
            what
        )};
}

Obstacle check_identity_source(const Policy& policy, IdentitySource source) {
    switch (policy.identity) {
        case RequiredIdentity::either: return {};
        case RequiredIdentity::ldap:
            if (source == IdentitySource::ldap) return {};
            return {
                Reason::identity_source,
                "this service takes identities from the directory only (policy identity = "
                "\"ldap\"); give username and password instead of uid and gid"};
        case RequiredIdentity::declared:
            if (source == IdentitySource::declared) return {};
            return {
                Reason::identity_source,
                "this service takes declared identities only (policy identity = \"declared\"); "
                "give uid and gid instead of username and password"};
    }
    return {};
}

Obstacle check_rule_ids(const Rule& rule, const Ids& ids) {
    if (!holds(rule.uids, ids.uid)) {
        return {Reason::uid, fmt::format("uid {} is not among {}", ids.uid, to_text(rule.uids))};
    }
    if (!holds(rule.gids, ids.gid)) {
        return {Reason::gid, fmt::format("gid {} is not among {}", ids.gid, to_text(rule.gids))};
    }
    for (const auto group : ids.groups) {
        if (!holds(rule.gids, group)) {
            return {
                Reason::group, fmt::format("group {} is not among {}", group, to_text(rule.gids))};
        }
    }
    return {};
}

/// A pattern that a share matched says nothing about where its name leads: DNS may be in other
/// hands than this file.
Obstacle check_addresses(const Rule& rule, const Share& share, const Request& request) {
    for (const auto& address : request.addresses) {
        const bool is_special = address.is_loopback() || address.is_link_local();
        if (!is_special) continue;
        const bool is_named =
            std::any_of(rule.sources.begin(), rule.sources.end(), [&](const auto& source) {
                return source.names(address) && source.matches_path(share.path);
            });
        if (is_named) continue;
        return {
            Reason::address,
            fmt::format(
                "{} leads to {}, a {} address that no source of the rule names",
                share.host,
                address.text(),
                address.is_loopback() ? "loopback" : "link-local"
            )};
    }
    return {};
}

Obstacle check_rule(const Rule& rule, const Share& share, const Request& request) {
    const auto& plugins = rule.plugins;
    if (!plugins.empty() &&
        std::find(plugins.begin(), plugins.end(), request.plugin) == plugins.end()) {
        return {
            Reason::plugin, fmt::format("it is not for the plugin {}", to_string(request.plugin))};
    }
    if (std::none_of(rule.sources.begin(), rule.sources.end(), [&](const auto& source) {
            return source.matches(share);
        })) {
        return {Reason::source, fmt::format("{} is not among its sources", share.display())};
    }
    if (auto obstacle = check_addresses(rule, share, request)) return obstacle;
    if (std::find(rule.ports.begin(), rule.ports.end(), request.port) == rule.ports.end()) {
        return {
            Reason::port,
            fmt::format("port {} is not among {}", request.port, fmt::join(rule.ports, ", "))};
    }
    return check_rule_ids(rule, {request.uid, request.gid, request.groups});
}

Decision refuse(Obstacle obstacle, std::size_t rule = 0) {
    return {Decision::Verdict::refused, obstacle.reason, rule, std::move(obstacle.text)};
}

/// As refuse(), but Mode::report lets it pass.
Decision judge(const Policy& policy, Obstacle obstacle, std::size_t rule = 0) {
    auto decision = refuse(std::move(obstacle), rule);
    if (policy.mode == Mode::report) decision.verdict = Decision::Verdict::reported;
    return decision;
}

constexpr std::string_view kNoRules =
    "the policy has no rule, so nothing is allowed; add a [[policy.rule]]";

}  // namespace

std::string_view to_string(Plugin plugin) noexcept {
    switch (plugin) {
        case Plugin::docker: return "docker";
        case Plugin::cloudfoundry: return "cloudfoundry";
    }
    return "unknown";
}

std::string_view to_string(IdentitySource source) noexcept {
    switch (source) {
        case IdentitySource::declared: return "declared";
        case IdentitySource::ldap: return "ldap";
    }
    return "unknown";
}

std::string_view to_string(RequiredIdentity identity) noexcept {
    switch (identity) {
        case RequiredIdentity::declared: return "declared";
        case RequiredIdentity::ldap: return "ldap";
        case RequiredIdentity::either: return "either";
    }
    return "unknown";
}

std::string_view to_string(Mode mode) noexcept {
    switch (mode) {
        case Mode::enforce: return "enforce";
        case Mode::report: return "report";
    }
    return "unknown";
}

std::string_view to_string(Reason reason) noexcept {
    switch (reason) {
        case Reason::none: return "none";
        case Reason::share: return "share";
        case Reason::no_address: return "no_address";
        case Reason::root_identity: return "root_identity";
        case Reason::no_id: return "no_id";
        case Reason::identity_source: return "identity_source";
        case Reason::no_rule: return "no_rule";
        case Reason::plugin: return "plugin";
        case Reason::source: return "source";
        case Reason::address: return "address";
        case Reason::port: return "port";
        case Reason::uid: return "uid";
        case Reason::gid: return "gid";
        case Reason::group: return "group";
    }
    return "unknown";
}

std::string describe_rule(const Policy& policy, std::size_t rule) {
    if (rule == 0 || rule > policy.rules.size()) return "no rule";
    const auto& name = policy.rules[rule - 1].name;
    return name.empty() ? fmt::format("rule {}", rule) : fmt::format("rule {} ({})", rule, name);
}

Decision decide(const Policy& policy, const Request& request) {
    const auto share = make_share(request.host, request.path);
    if (!share) return refuse({Reason::share, share.error().user_text});
    if (request.addresses.empty()) {
        return refuse(
            {Reason::no_address, fmt::format("{} has no address; check its name", share->host)}
        );
    }
    if (share->address &&
        std::any_of(request.addresses.begin(), request.addresses.end(), [&](const auto& address) {
            return address != *share->address;
        })) {
        return refuse({Reason::no_address, "the address is not the one that the share names"});
    }
    if (auto obstacle = check_ids(policy, {request.uid, request.gid, request.groups})) {
        return refuse(std::move(obstacle));
    }
    if (auto obstacle = check_identity_source(policy, request.identity_source)) {
        return judge(policy, std::move(obstacle));
    }
    Obstacle farthest{Reason::no_rule, std::string(kNoRules)};
    std::size_t nearest = 0;
    for (std::size_t i = 0; i < policy.rules.size(); ++i) {
        auto obstacle = check_rule(policy.rules[i], *share, request);
        if (!obstacle) {
            return {
                Decision::Verdict::allowed,
                Reason::none,
                i + 1,
                fmt::format("allowed by {}", describe_rule(policy, i + 1))};
        }
        if (obstacle.reason > farthest.reason) {
            farthest = std::move(obstacle);
            nearest = i + 1;
        }
    }
    if (nearest != 0) {
        farthest.text = fmt::format(
            "no rule allows it, and {} does not because {}; change the mount or the policy",
            describe_rule(policy, nearest),
            farthest.text
        );
    }
    return judge(policy, std::move(farthest), nearest);
}

IdentityView view_identity(
    const Policy& policy,
    IdentitySource source,
    std::uint32_t uid,
    std::uint32_t gid,
    std::span<const std::uint32_t> groups
) {
    const Ids ids{uid, gid, groups};
    auto obstacle = check_ids(policy, ids);
    if (!obstacle) obstacle = check_identity_source(policy, source);
    if (obstacle) return {obstacle.reason, {}, std::move(obstacle.text)};
    IdentityView view{Reason::no_rule, {}, std::string(kNoRules)};
    for (std::size_t i = 0; i < policy.rules.size(); ++i) {
        auto why_not = check_rule_ids(policy.rules[i], ids);
        if (!why_not) {
            view.rules.push_back(i + 1);
        } else if (why_not.reason > view.reason) {
            view.reason = why_not.reason;
            view.text = fmt::format("{}: {}", describe_rule(policy, i + 1), why_not.text);
        }
    }
    if (!view.rules.empty()) {
        view.reason = Reason::none;
        view.text.clear();
        for (const auto rule : view.rules) {
            view.text +=
                fmt::format("{}{}", view.text.empty() ? "" : ", ", describe_rule(policy, rule));
        }
    }
    return view;
}

}  // namespace uidnfs::plugins::policy
