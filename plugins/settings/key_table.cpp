// SPDX-License-Identifier: Apache-2.0
#include "plugins/settings/key_table.hpp"

#include "plugins/settings/key_checks.hpp"
#include "plugins/settings/key_rows.hpp"

namespace uidnfs::plugins {
namespace {

using namespace rows;

constexpr std::uint64_t kMiB = 1ull << 20;
constexpr std::uint64_t kTiB = 1ull << 40;

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
    add_ldap(table);
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
