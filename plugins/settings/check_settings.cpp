// SPDX-License-Identifier: Apache-2.0
// check_settings() of reader.hpp: what keys have against each other.
#include "ldap/check.hpp"
#include "plugins/settings/key_checks.hpp"
#include "plugins/settings/option_settings.hpp"
#include "plugins/settings/reader.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace uidnfs::plugins {
namespace {

void check_mounts(Draft& draft) {
    const auto& mounts = draft.settings.mounts;
    const std::pair<std::string_view, const OptionSettings*> tables[] = {
        {"defaults", &mounts.defaults}, {"fixed", &mounts.fixed}, {"forced", &mounts.forced}};
    for (const auto& [name, options] : tables) {
        for (auto& problem : find_contradictions(*options)) {
            draft.add(fmt::format("mounts.{}", name), "options that do not go together", problem);
        }
    }
    const auto compare = [&](std::string_view table,
                             const OptionSettings& options,
                             std::string_view other,
                             const OptionSettings& stronger) {
        for (const auto& option : options) {
            for (const auto& each : stronger) {
                if (!decide_the_same(option.name, each.name)) continue;
                draft.add(
                    fmt::format("mounts.{}.{}", table, option.name),
                    fmt::format("{} in mounts.{} as well", each.name, other),
                    "one of them would never count; leave it out"
                );
            }
        }
    };
    compare("defaults", mounts.defaults, "fixed", mounts.fixed);
    compare("defaults", mounts.defaults, "forced", mounts.forced);
    compare("fixed", mounts.fixed, "forced", mounts.forced);
    for (std::size_t i = 0; i < mounts.allowed_options.size(); ++i) {
        for (const auto& each : mounts.fixed) {
            if (!decide_the_same(mounts.allowed_options[i], each.name)) continue;
            draft.add(
                fmt::format("mounts.allowed_options[{}]", i + 1),
                fmt::format("\"{}\"", mounts.allowed_options[i]),
                fmt::format(
                    "mounts.fixed has {}, so callers may not set it; leave one out", each.name
                )
            );
        }
    }
    if (mounts.root == mounts.run_dir || mounts.root == mounts.state_dir) {
        draft.add(
            "mounts.root",
            fmt::format("\"{}\"", mounts.root),
            "state and volumes cannot share a directory; use one below it"
        );
    }
}

void check_ranges(
    Draft& draft, const std::string& key, const std::vector<policy::IdRange>& ranges
) {
    auto rest = ranges;
    while (true) {
        const auto [first, second] = policy::find_overlap(rest);
        if (first == rest.size()) break;
        draft.add(
            key,
            fmt::format("{} and {}", rest[first].text(), rest[second].text()),
            "they overlap; write ranges that share no id"
        );
        rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(second));
    }
    if (draft.settings.policy.root_identity == policy::RootIdentity::by_rule) return;
    if (policy::holds(ranges, 0)) {
        draft.add(
            key, "\"0\"", "0 is root; leave it out, or set allow_root_identity = true in [policy]"
        );
    }
}

void check_policy(Draft& draft) {
    auto& policy = draft.settings.policy;
    using policy::RequiredIdentity;
    if (!draft.has("policy.identity")) {
        policy.identity = draft.settings.ldap ? RequiredIdentity::ldap : RequiredIdentity::declared;
    } else if (policy.identity != RequiredIdentity::declared && !draft.settings.ldap) {
        draft.add(
            "policy.identity",
            fmt::format("\"{}\"", to_string(policy.identity)),
            "there is no directory to ask; add [ldap] or use \"declared\""
        );
    }
    for (std::size_t i = 0; i < policy.rules.size(); ++i) {
        const auto rule = fmt::format("policy.rule[{}]", i + 1);
        check_ranges(draft, rule + ".uids", policy.rules[i].uids);
        check_ranges(draft, rule + ".gids", policy.rules[i].gids);
        for (std::size_t j = 0; j < i; ++j) {
            if (policy.rules[i].name.empty() || policy.rules[i].name != policy.rules[j].name) {
                continue;
            }
            draft.add(
                rule + ".name",
                fmt::format("\"{}\"", policy.rules[i].name),
                fmt::format("rule {} has the same name; use another", j + 1)
            );
        }
    }
    if (policy.rules.empty() && !draft.has("policy.rule")) {
        draft.warnings.push_back(
            policy.mode == policy::Mode::enforce
                ? "there is no [[policy.rule]]: every mount is refused"
                : "there is no [[policy.rule]]: every mount is reported as one to be refused"
        );
    }
    if (policy.mode == policy::Mode::report) {
        draft.warnings.push_back(
            "policy.mode is \"report\": what no rule allows passes, and is logged"
        );
    }
    if (policy.identity == RequiredIdentity::declared && draft.settings.ldap) {
        draft.warnings.push_back(
            "policy.identity is \"declared\": the directory of [ldap] is never asked"
        );
    }
    if (draft.settings.ldap && draft.settings.ldap->recheck_action == ldap::RecheckAction::deny &&
        draft.settings.ldap->recheck == ldap::Duration::zero()) {
        draft.warnings.push_back(
            "ldap.recheck_action is \"deny\" and ldap.recheck_seconds is 0: nobody is asked, no "
            "access is taken away"
        );
    }
    if (policy.identity == RequiredIdentity::either) {
        draft.warnings.push_back(
            "policy.identity is \"either\": a mount without user name goes around the directory"
        );
    }
}

/// Whether there is a problem of `key`, of a part of it, or of a variable that overrides it.
bool is_told(const Draft& draft, std::string_view key) {
    return std::any_of(draft.problems.begin(), draft.problems.end(), [&](const auto& problem) {
        return problem.file == "environment" || problem.key.starts_with(key);
    });
}

void check_ldap(Draft& draft) {
    auto& settings = draft.settings;
    if (!settings.ldap) return;
    auto& options = *settings.ldap;
    options.allow_root_identity = settings.policy.root_identity == policy::RootIdentity::by_rule;
    auto problems = ldap::check(options);
    // What could not be read has its default here, which nobody chose.
    std::erase_if(problems, [&](const auto& problem) {
        return is_told(draft, fmt::format("ldap.{}", problem.key));
    });
    for (auto& problem : problems) {
        draft.add(
            fmt::format("ldap.{}", problem.key),
            std::move(problem.found),
            std::move(problem.allowed)
        );
    }
    if (options.timeout >= std::chrono::seconds(settings.mounts.deadline_seconds)) {
        draft.add(
            "ldap.timeout_seconds",
            fmt::format("{}", options.timeout.count() / 1000),
            fmt::format(
                "a mount has {} s in all (mounts.deadline_seconds); leave time for the NFS server",
                settings.mounts.deadline_seconds
            )
        );
    }
}

void check_cloudfoundry(Draft& draft) {
    if (!draft.settings.cloudfoundry) return;
    const auto& plugin = *draft.settings.cloudfoundry;
    const auto& tls = plugin.tls;
    constexpr std::string_view kSection = "plugin.cloudfoundry";
    if (!tls.is_set() && !plugin.insecure) {
        draft.add(
            fmt::format("{}.tls", kSection),
            "nothing",
            "without TLS any local process could mount as anyone; give all five files, or set "
            "insecure = true"
        );
        return;
    }
    if (!tls.is_set()) {
        draft.warnings.push_back(
            "plugin.cloudfoundry.insecure is true: every local process can ask for mounts"
        );
        const auto listen = checks::parse_listen(plugin.listen);
        const auto address =
            listen ? policy::parse_address(listen->host) : std::optional<policy::Address>();
        // 0.0.0.0 and :: count as loopback for a client, and as every address for a server.
        const bool is_local = address && address->is_loopback() && address->text() != "0.0.0.0" &&
                              address->text() != "::";
        if (!is_local) {
            draft.add(
                fmt::format("{}.listen", kSection),
                fmt::format("\"{}\"", plugin.listen),
                "without TLS every machine could mount as anyone; use 127.0.0.1, or give the files "
                "of tls"
            );
        }
        return;
    }
    const std::pair<std::string_view, const std::string*> files[] = {
        {"ca_file", &tls.ca_file},
        {"cert_file", &tls.cert_file},
        {"key_file", &tls.key_file},
        {"client_cert_file", &tls.client_cert_file},
        {"client_key_file", &tls.client_key_file}};
    for (const auto& [name, path] : files) {
        if (!path->empty()) continue;
        draft.add(
            fmt::format("{}.tls.{}", kSection, name), "nothing", "TLS needs all five files; add it"
        );
    }
    if (plugin.insecure) {
        draft.add(
            fmt::format("{}.insecure", kSection),
            "true",
            "the files of tls are there as well; leave one of both out"
        );
    }
}

void check_sockets(Draft& draft) {
    const auto& settings = draft.settings;
    if (settings.docker && settings.docker->socket == settings.admin.socket) {
        draft.add(
            "admin.socket",
            fmt::format("\"{}\"", settings.admin.socket),
            "plugin.docker.socket is the same; use another"
        );
    }
}

}  // namespace

void check_settings(Draft& draft) {
    check_mounts(draft);
    check_policy(draft);
    check_ldap(draft);
    check_cloudfoundry(draft);
    check_sockets(draft);
    sort(draft.problems);
}

}  // namespace uidnfs::plugins
