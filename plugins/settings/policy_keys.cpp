// SPDX-License-Identifier: Apache-2.0
// The keys of [policy] and [[policy.rule]].
#include "plugins/settings/key_checks.hpp"
#include "plugins/settings/key_rows.hpp"

namespace uidnfs::plugins::rows {

void add_policy(Builder& table) {
    using policy::Mode;
    using policy::Plugin;
    using policy::RequiredIdentity;
    table.in("policy");
    table
        .add(choice(
            "identity",
            [](S & s) -> auto& { return s.policy.identity; },
            words_of({RequiredIdentity::declared, RequiredIdentity::ldap, RequiredIdentity::either}
            ),
            "where the identity of a mount must come from"
        ))
        .default_words = "\"ldap\" where [ldap] exists, else \"declared\"";
    table.add(choice(
        "mode",
        [](S & s) -> auto& { return s.policy.mode; },
        words_of({Mode::enforce, Mode::report}),
        "whether what no rule allows is refused, or passes and is logged"
    ));
    table.add({
        .name = "allow_root_identity",
        .kind = KeyKind::boolean,
        .help = "lets a rule with \"0\" allow uid or gid 0",
        .apply =
            [](S& s, const KeyValue& value) {
                s.policy.root_identity =
                    value.flag ? policy::RootIdentity::by_rule : policy::RootIdentity::refused;
            },
        .show = [](const S& s) -> std::string {
            return s.policy.root_identity == policy::RootIdentity::by_rule ? "true" : "false";
        },
    });

    table.in("policy.rule");
    const auto ranges_to = [](auto ref) {
        return [ref](S& s, const KeyValue& value) {
            auto& ranges = ref(s.policy.rules.back());
            for (const auto& each : value.texts) ranges.push_back(*policy::parse_range(each));
        };
    };
    table
        .add(text(
            "name",
            "NAME",
            [](S & s) -> auto& { return s.policy.rules.back().name; },
            checks::any_text,
            "how messages and the audit call the rule"
        ))
        .default_words = "its number, counted from 1";
    table
        .add({
            .name = "plugins",
            .kind = KeyKind::choices,
            .choices = words_of({Plugin::docker, Plugin::cloudfoundry}),
            .help = "which plugins the rule is for",
            .apply =
                [](S& s, const KeyValue& value) {
                    for (const auto each : value.numbers) {
                        s.policy.rules.back().plugins.push_back(static_cast<Plugin>(each));
                    }
                },
            .show = [](const S&) { return std::string(); },
        })
        .default_words = "all";
    auto& sources = table.add(texts(
        "sources",
        "SHARE",
        checks::source,
        [](S& s, const KeyValue& value) {
            for (const auto& each : value.texts) {
                s.policy.rules.back().sources.push_back(*policy::SharePattern::parse(each));
            }
        },
        "the shares that the rule allows, as \"nas1:/exports/*\""
    ));
    sources.is_required = true;
    table.add({
        .name = "ports",
        .kind = KeyKind::numbers,
        .placeholder = "N",
        .min = 1,
        .max = 65535,
        .help = "NFS ports, when not the usual one",
        .apply =
            [](S& s, const KeyValue& value) {
                s.policy.rules.back().ports.assign(value.numbers.begin(), value.numbers.end());
            },
        .show = [](const S& s
                ) { return fmt::format("[{}]", fmt::join(s.policy.rules.back().ports, ", ")); },
    });
    table
        .add(texts(
            "uids",
            "RANGE",
            checks::id_range,
            ranges_to([](policy::Rule & rule) -> auto& { return rule.uids; }),
            "the user ids that the rule allows, those of the directory too"
        ))
        .is_required = true;
    table
        .add(texts(
            "gids",
            "RANGE",
            checks::id_range,
            ranges_to([](policy::Rule & rule) -> auto& { return rule.gids; }),
            "the group ids that the rule allows, primary and supplementary"
        ))
        .is_required = true;
}

}  // namespace uidnfs::plugins::rows
