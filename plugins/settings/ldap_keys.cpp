// SPDX-License-Identifier: Apache-2.0
// The keys of [ldap] and [ldap.attributes].
#include "plugins/settings/key_checks.hpp"
#include "plugins/settings/key_rows.hpp"

namespace uidnfs::plugins::rows {
namespace {

constexpr std::uint64_t kMaxId = 0xffff'fffe;  // (uid_t)-1 is nobody's id
constexpr std::uint64_t kWeek = 7 * 86400;

void add_server(Builder& table) {
    table.in("ldap");
    table
        .add(texts(
            "urls",
            "URL",
            checks::any_text,
            [](S& s, const KeyValue& value) { s.ldap->urls = value.texts; },
            "the servers, the preferred one first: ldaps://, ldap:// or ldapi://"
        ))
        .is_required = true;
    table.add(boolean(
        "start_tls", [](S & s) -> auto& { return s.ldap->start_tls; }, "StartTLS on ldap:// URLs"
    ));
    table
        .add(text(
            "ca_file",
            "PATH",
            [](S & s) -> auto& { return s.ldap->ca_file; },
            checks::maybe_path,
            "certificates of the authorities that may vouch for the servers"
        ))
        .default_words = "the system's";
    table.add(boolean(
        "allow_plaintext",
        [](S & s) -> auto& { return s.ldap->allow_plaintext; },
        "lets passwords cross the network in the clear"
    ));
    table
        .add(text(
            "bind_dn",
            "DN",
            [](S & s) -> auto& { return s.ldap->bind_dn; },
            checks::maybe_text,
            "who searches"
        ))
        .default_words = "nobody (anonymous)";
    auto& secret = table.add(text(
        "bind_password_file",
        "PATH",
        [](S & s) -> auto& { return s.bind_password_file; },
        checks::maybe_path,
        "a file with the password of bind_dn, which others cannot read"
    ));
    secret.default_words = "none";
    secret.shown = Shown::no;
}

void add_schema(Builder& table) {
    table
        .add(text(
            "user_base",
            "DN",
            [](S & s) -> auto& { return s.ldap->user_base; },
            checks::any_text,
            "where users are searched"
        ))
        .is_required = true;
    table.add(text(
        "user_filter",
        "FILTER",
        [](S & s) -> auto& { return s.ldap->user_filter; },
        checks::any_text,
        "finds one user; {username} is escaped"
    ));
    table
        .add(text(
            "group_base",
            "DN",
            [](S & s) -> auto& { return s.ldap->group_base; },
            checks::maybe_text,
            "where groups are searched"
        ))
        .default_words = "nowhere";
    table.add(text(
        "group_filter",
        "FILTER",
        [](S & s) -> auto& { return s.ldap->group_filter; },
        checks::any_text,
        "finds the groups of a user; {username} and {dn} are escaped"
    ));
    table.add(boolean(
        "verify_password",
        [](S & s) -> auto& { return s.ldap->verify_password; },
        "checks the password by a bind as the user; an empty one is always refused"
    ));
    table
        .add({
            .name = "default_gid",
            .kind = KeyKind::number,
            .placeholder = "N",
            .min = 1,
            .max = kMaxId,
            .help = "primary group of users that have none",
            .apply = [](S& s, const KeyValue& value
                     ) { s.ldap->default_gid = static_cast<std::uint32_t>(value.number); },
            .show = [](const S&) { return std::string(); },
        })
        .default_words = "none: such users are refused";
    table.add(boolean(
        "gid_from_uid",
        [](S & s) -> auto& { return s.ldap->gid_from_uid; },
        "takes the uid for the primary group of users that have none, as the old driver did"
    ));
    table
        .add({
            .name = "prefer_groups",
            .kind = KeyKind::numbers,
            .placeholder = "N",
            .min = 1,
            .max = kMaxId,
            .help = "groups that are kept first where a user has more than 16",
            .apply =
                [](S& s, const KeyValue& value) {
                    s.ldap->prefer_groups.assign(value.numbers.begin(), value.numbers.end());
                },
            .show = [](const S&) { return std::string(); },
        })
        .default_words = "none";
}

void add_times(Builder& table) {
    table.add(seconds(
        "timeout_seconds",
        [](S & s) -> auto& { return s.ldap->timeout; },
        1,
        60,
        "the longest that the directory may take, in all, over all servers"
    ));
    table.add(seconds(
        "cache_seconds",
        [](S & s) -> auto& { return s.ldap->cache; },
        0,
        86400,
        "how long a verified identity is believed"
    ));
    table.add(seconds(
        "negative_cache_seconds",
        [](S & s) -> auto& { return s.ldap->negative_cache; },
        0,
        3600,
        "how long a refusal is, so that a crashing application does not lock its account"
    ));
    table.add(seconds(
        "cache_stale_seconds",
        [](S & s) -> auto& { return s.ldap->cache_stale; },
        0,
        kWeek,
        "how old an identity may be while every server is unreachable; 0: never"
    ));
    table
        .add(text(
            "cache_file",
            "PATH",
            [](S & s) -> auto& { return s.ldap->cache_file; },
            checks::maybe_path,
            "keeps verified identities, never passwords, across a restart"
        ))
        .default_words = "none: in memory only";
    table.add(seconds(
        "recheck_seconds",
        [](S & s) -> auto& { return s.ldap->recheck; },
        0,
        86400,
        "how often the identities of live mounts are asked again; 0: never"
    ));
    table.add(choice(
        "recheck_action",
        [](S & s) -> auto& { return s.ldap->recheck_action; },
        {{"report", number_of(ldap::RecheckAction::report)},
         {"deny", number_of(ldap::RecheckAction::deny)}},
        "what happens to mounts whose identity is gone or disabled"
    ));
    table.add(number(
        "recheck_max_percent",
        [](S & s) -> auto& { return s.ldap->recheck_max_percent; },
        {1, 100, "percent"},
        "deny takes access from no more of the mounts than this at once"
    ));
    table.add(number(
        "threads", [](S & s) -> auto& { return s.ldap->threads; }, {1, 64}, "lookups at one time"
    ));
}

void add_attributes(Builder& table) {
    table.in("ldap.attributes");
    table.add(text(
        "uid",
        "NAME",
        [](S & s) -> auto& { return s.ldap->attributes.uid; },
        checks::any_text,
        "user id, of the user's entry"
    ));
    table.add(text(
        "gid",
        "NAME",
        [](S & s) -> auto& { return s.ldap->attributes.gid; },
        checks::maybe_text,
        "primary group id, of the user's entry"
    ));
    table.add(text(
        "group_gid",
        "NAME",
        [](S & s) -> auto& { return s.ldap->attributes.group_gid; },
        checks::any_text,
        "group id, of a group's entry"
    ));
    table.add(text(
        "group_name",
        "NAME",
        [](S & s) -> auto& { return s.ldap->attributes.group_name; },
        checks::maybe_text,
        "name of a group for messages, of its entry"
    ));
    table
        .add(text(
            "member_of",
            "NAME",
            [](S & s) -> auto& { return s.ldap->attributes.member_of; },
            checks::maybe_text,
            "names of groups, of the user's entry; \"memberOf\" where the directory has it"
        ))
        .default_words = "none";
}

}  // namespace

void add_ldap(Builder& table) {
    add_server(table);
    add_schema(table);
    add_times(table);
    add_attributes(table);
}

}  // namespace uidnfs::plugins::rows
