// SPDX-License-Identifier: Apache-2.0
#include "plugins/settings/key_table.hpp"

#include "plugins/settings/key_checks.hpp"
#include "plugins/settings/key_rows.hpp"

namespace uidnfs::plugins {
namespace {

using namespace rows;

constexpr std::uint64_t kMaxId = 0xffff'fffe;  // (uid_t)-1 is nobody's id
constexpr std::uint64_t kWeek = 7 * 86400;
constexpr std::uint64_t kMiB = 1ull << 20;
constexpr std::uint64_t kTiB = 1ull << 40;

template <class Enum>
constexpr std::uint64_t number_of(Enum value) {
    return static_cast<std::uint64_t>(value);
}

template <class Enum>
std::vector<config::Choice> words_of(std::initializer_list<Enum> values) {
    std::vector<config::Choice> words;
    for (const auto value : values) words.push_back({to_string(value), number_of(value)});
    return words;
}

class Builder {
public:
    void in(std::string_view section) { section_ = section; }

    KeySpec& add(KeySpec row) {
        row.section = section_;
        return rows_.emplace_back(std::move(row));
    }

    std::vector<KeySpec> take() { return std::move(rows_); }

private:
    std::string_view section_;
    std::vector<KeySpec> rows_;
};

using S = Settings;

void add_mounts(Builder& table) {
    table.in("mounts");
    table.add(text(
        "root",
        "PATH",
        [](S & s) -> auto& { return s.mounts.root; },
        checks::path,
        "one directory per volume below it, for root only"
    ));
    table.add(text(
        "state_dir",
        "PATH",
        [](S & s) -> auto& { return s.mounts.state_dir; },
        checks::path,
        "volume definitions, which survive a reboot"
    ));
    table.add(text(
        "run_dir",
        "PATH",
        [](S & s) -> auto& { return s.mounts.run_dir; },
        checks::path,
        "live state and control sockets"
    ));
    table
        .add(text(
            "recovery_dir",
            "PATH",
            [](S & s) -> auto& { return s.mounts.recovery_dir; },
            checks::maybe_path,
            "what mounts could not write when they ended, for \"uidnfs recover\""
        ))
        .default_words = "\"/var/lib/uidnfs/recovery\"";
    table
        .add(options(
            "defaults",
            [](S & s) -> auto& { return s.mounts.defaults; },
            "mount options where the caller says nothing"
        ))
        .default_words = "those of uidnfs(8)";
    table
        .add(options(
            "fixed",
            [](S & s) -> auto& { return s.mounts.fixed; },
            "mount options that hold; a caller that sets them gets an error"
        ))
        .default_words = "none";
    table
        .add(options(
            "forced",
            [](S & s) -> auto& { return s.mounts.forced; },
            "mount options that hold whatever the caller says, which is logged"
        ))
        .default_words = "none";
    table
        .add(texts(
            "allowed_options",
            "OPTION",
            checks::callers_option,
            [](S& s, const KeyValue& value) { s.mounts.allowed_options = value.texts; },
            "the mount options that callers may set"
        ))
        .default_words = "all that are marked P in uidnfs(8)";
    table.add(number(
        "deadline_seconds",
        [](S & s) -> auto& { return s.mounts.deadline_seconds; },
        {1, 600, "seconds", "SECONDS"},
        "the longest that a mount may take, the directory included"
    ));
}

void add_workers(Builder& table) {
    table.in("workers");
    table.add(text(
        "user",
        "NAME",
        [](S & s) -> auto& { return s.workers.user; },
        checks::user,
        "the service user; its group may read secret files"
    ));
    table.add(size(
        "memory_limit",
        [](S & s) -> auto& { return s.workers.memory_limit; },
        64 * kMiB,
        kTiB,
        "memory of one worker in bytes"
    ));
    table.add(size(
        "write_behind_total",
        [](S & s) -> auto& { return s.workers.write_behind_total; },
        kMiB,
        kTiB,
        "bytes acknowledged and not yet committed, of all workers together"
    ));
    table.add(number(
        "max_mounts",
        [](S & s) -> auto& { return s.workers.max_mounts; },
        {1, 100'000},
        "mounts at one time"
    ));
}

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

void add_ldap_server(Builder& table) {
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

void add_ldap_schema(Builder& table) {
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

void add_ldap_times(Builder& table) {
    table.add(seconds(
        "timeout_seconds",
        [](S & s) -> auto& { return s.ldap->timeout; },
        1,
        600,
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

void add_ldap_attributes(Builder& table) {
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

void add_docker(Builder& table) {
    table.in("plugin.docker");
    table.add(text(
        "socket",
        "PATH",
        [](S & s) -> auto& { return s.docker->socket; },
        checks::socket_path,
        "where Docker's engine asks"
    ));
}

void add_cloudfoundry(Builder& table) {
    table.in("plugin.cloudfoundry");
    table.add(text(
        "listen",
        "ADDRESS:PORT",
        [](S & s) -> auto& { return s.cloudfoundry->listen; },
        checks::listen,
        "where volman asks"
    ));
    table.add(text(
        "driver_name",
        "NAME",
        [](S & s) -> auto& { return s.cloudfoundry->driver_name; },
        checks::file_name,
        "the name that service brokers know"
    ));
    table.add(text(
        "drivers_path",
        "PATH",
        [](S & s) -> auto& { return s.cloudfoundry->drivers_path; },
        checks::path,
        "where volman looks for drivers"
    ));
    table.add(boolean(
        "insecure",
        [](S & s) -> auto& { return s.cloudfoundry->insecure; },
        "serves without TLS: every local process can then mount"
    ));
    table.add(choice(
        "unknown_options",
        [](S & s) -> auto& { return s.cloudfoundry->unknown_options; },
        {{"warn", number_of(UnknownOptions::warn)}, {"refuse", number_of(UnknownOptions::refuse)}},
        "what happens to options of a binding that nobody knows"
    ));
    table.add(boolean(
        "force_version",
        [](S & s) -> auto& { return s.cloudfoundry->force_version; },
        "serves version=4.x of a binding as 3, with a warning"
    ));

    table.in("plugin.cloudfoundry.tls");
    const auto file = [&](std::string_view name, auto ref, std::string_view help) -> KeySpec& {
        auto& row = table.add(text(name, "PATH", ref, checks::maybe_path, help));
        row.default_words = "none";
        return row;
    };
    file(
        "ca_file",
        [](S & s) -> auto& { return s.cloudfoundry->tls.ca_file; },
        "the authority of both sides"
    );
    file(
        "cert_file",
        [](S & s) -> auto& { return s.cloudfoundry->tls.cert_file; },
        "certificate of the daemon"
    );
    file(
        "key_file",
        [](S & s) -> auto& { return s.cloudfoundry->tls.key_file; },
        "its key, which others cannot read"
    )
        .shown = Shown::no;
    file(
        "client_cert_file",
        [](S & s) -> auto& { return s.cloudfoundry->tls.client_cert_file; },
        "certificate of volman, named in the driver's spec file"
    );
    file(
        "client_key_file",
        [](S & s) -> auto& { return s.cloudfoundry->tls.client_key_file; },
        "its key, named there too"
    )
        .shown = Shown::no;
}

void add_audit_and_admin(Builder& table) {
    table.in("audit");
    table.add(text(
        "destination",
        "journal|PATH",
        [](S & s) -> auto& { return s.audit.destination; },
        checks::destination,
        "where one line of JSON for each decision goes"
    ));
    table.add(choice(
        "when_unwritable",
        [](S & s) -> auto& { return s.audit.when_unwritable; },
        {{"continue", number_of(WhenUnwritable::go_on)},
         {"refuse", number_of(WhenUnwritable::refuse)}},
        "what happens to mounts that cannot be recorded"
    ));

    table.in("admin");
    table.add(text(
        "socket",
        "PATH",
        [](S & s) -> auto& { return s.admin.socket; },
        checks::socket_path,
        "metrics, health, volumes, drain and reload, for root only"
    ));
    table
        .add(text(
            "metrics_listen",
            "ADDRESS:PORT",
            [](S & s) -> auto& { return s.admin.metrics_listen; },
            checks::maybe_listen,
            "metrics for Prometheus, for everybody who reaches it"
        ))
        .default_words = "nowhere";
    table.add(boolean(
        "metrics_per_volume",
        [](S & s) -> auto& { return s.admin.metrics_per_volume; },
        "labels metrics by volume; containers make many"
    ));
}

std::vector<KeySpec> build() {
    Builder table;
    add_mounts(table);
    add_workers(table);
    add_policy(table);
    add_ldap_server(table);
    add_ldap_schema(table);
    add_ldap_times(table);
    add_ldap_attributes(table);
    add_docker(table);
    add_cloudfoundry(table);
    add_audit_and_admin(table);
    auto rows = table.take();
    for (auto& row : rows) {
        if (row.is_required) row.default_words = "required";
    }
    return rows;
}

}  // namespace

const std::vector<SectionSpec>& section_table() {
    using Times = SectionSpec::Times;
    static const std::vector<SectionSpec> table{
        {"mounts", "where volumes are, and their mount options"},
        {"workers", "the processes that serve mounts"},
        {"policy", "whose files this service may touch"},
        {"policy.rule",
         "a mount needs one rule that allows all of it",
         Times::many,
         [](Settings& settings) { settings.policy.rules.emplace_back(); }},
        {"ldap",
         "the directory that says who a user is",
         Times::once,
         [](Settings& settings) { settings.ldap.emplace(); }},
        {"ldap.attributes", "what the directory calls things"},
        {"plugin", ""},
        {"plugin.docker",
         "volumes for Docker's engine",
         Times::once,
         [](Settings& settings) { settings.docker.emplace(); }},
        {"plugin.cloudfoundry",
         "volumes for Cloud Foundry",
         Times::once,
         [](Settings& settings) { settings.cloudfoundry.emplace(); }},
        {"plugin.cloudfoundry.tls", "mutual TLS with volman; all five files or none"},
        {"audit", "who mounted what as whom"},
        {"admin", "for whoever runs the service"},
    };
    return table;
}

const std::vector<KeySpec>& key_table() {
    static const auto table = build();
    return table;
}

}  // namespace uidnfs::plugins
