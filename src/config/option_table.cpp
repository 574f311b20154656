// SPDX-License-Identifier: Apache-2.0
#include "config/option_table.hpp"

#include "config/option_rows.hpp"

namespace uidnfs::config {
namespace {

using namespace rows;
using State = Availability::State;

constexpr auto kCallers = SetBy::callers;
constexpr auto kOperators = SetBy::operators;

constexpr std::uint64_t kMaxSeconds = 0x7fff'ffff;
constexpr std::uint64_t kMaxIoBytes = 0xffff'ffff;  // what is above 1 MiB is rounded down to it
constexpr std::string_view kTcp = "tcp";
constexpr std::string_view kThree = "3";
constexpr std::string_view kSys = "sys";
constexpr std::string_view kAll = "all";
constexpr std::string_view kServer = "server";
constexpr std::string_view kOnlyTcp = "only TCP is supported";
constexpr std::string_view kOnlyVersion3 = "only NFS version 3 is supported";

template <class Enum>
constexpr std::uint64_t number_of(Enum value) {
    return static_cast<std::uint64_t>(value);
}

std::vector<Choice> identity_words() {
    return {{"fixed", number_of(IdentityMode::fixed)}, {"caller", number_of(IdentityMode::caller)}};
}

std::vector<Choice> present_words() {
    return {
        {"all", number_of(mapper::Presentation::all)},
        {"mapped", number_of(mapper::Presentation::mapped)}};
}

std::vector<Choice> access_words() {
    return {
        {"app", number_of(mapper::Access::app)},
        {"strict", number_of(mapper::Access::strict)},
        {"any", number_of(mapper::Access::any)}};
}

std::vector<Choice> lookup_words() {
    return {
        {"all", number_of(LookupCache::all)},
        {"pos", number_of(LookupCache::positive)},
        {"positive", number_of(LookupCache::positive)},
        {"none", number_of(LookupCache::none)}};
}

std::vector<Choice> commit_words() {
    return {{"close", number_of(Commit::close)}, {"behind", number_of(Commit::behind)}};
}

std::vector<Choice> level_words() {
    using core::log::Level;
    std::vector<Choice> words;
    for (const auto level :
         {Level::trace, Level::debug, Level::info, Level::warning, Level::error, Level::off}) {
        words.push_back({core::log::to_string(level), number_of(level)});
    }
    return words;
}

ValueRule range(std::uint64_t min, std::uint64_t max, std::string_view unit = {}) {
    return {.placeholder = "N", .min = min, .max = max, .unit = unit};
}

ValueRule seconds(std::uint64_t max) {
    return {.placeholder = "SECONDS", .min = 0, .max = max, .unit = "seconds"};
}

class Builder {
public:
    void in(Group group) { group_ = group; }

    OptionSpec& add(OptionSpec row, SetBy set_by = kOperators) {
        row.group = group_;
        row.set_by = set_by;
        return rows_.emplace_back(std::move(row));
    }

    /// One that `mount -o remount` can change.
    OptionSpec& live(OptionSpec row, SetBy set_by = kOperators) {
        row.live = Live::changes;
        return add(std::move(row), set_by);
    }

    std::vector<OptionSpec> take() { return std::move(rows_); }

private:
    Group group_ = Group::generic;
    std::vector<OptionSpec> rows_;
};

using M = MountOptions;

void add_identity(Builder& table) {
    table.in(Group::identity);
    table.add(id<&M::uid>("uid", "user id on the wire; gid= goes with it"), kCallers)
        .default_words = "required";
    table.add(id<&M::gid>("gid", "group id on the wire; uid= goes with it"), kCallers)
        .default_words = "required";
    table
        .add(
            ids<&M::gids>("gids", "supplementary groups on the wire, at most 16 (AUTH_SYS)"),
            kCallers
        )
        .default_words = "none";
    table.add(choice<&M::identity, identity_words>(
        "identity",
        "fixed: every call carries uid= and gid=; caller: those of the process that asks (root "
        "only)"
    ));
    table.add(flag<&M::allow_root_identity, Switch::on>(
        "allow_root_identity", "lets uid=0, gid=0 and 0 among gids= through"
    ));
    table.add(
        number<&M::app_uid>("app_uid", range(0, kMaxId), "the user that files are shown as"),
        kCallers
    );
    table.add(
        number<&M::app_gid>("app_gid", range(0, kMaxId), "the group that files are shown as"),
        kCallers
    );
    table.add(
        choice<&M::present, present_words>(
            "present",
            "all: every file is shown as the application user's; mapped: only those of uid= and "
            "gid="
        ),
        kCallers
    );
    table.add(choice<&M::access, access_words>(
        "access",
        "who may use the mount: the application user and root, the application user alone, anybody"
    ));
    table.add(flag<&M::copy_up, Switch::on>(
        "copyup",
        "changes of owner by root, and of anything of the share's root, are answered and not sent"
    ));
    table.add(flag<&M::copy_up, Switch::off>("nocopyup", "root's changes are treated as anybody's")
    );
    table
        .add(only<kServer>(
            "permissions", "unknown value", "who decides about access: the server, by ACCESS"
        ))
        .availability = {
        State::later,
        "kernel",
        "permission checks by the kernel are not available yet; use permissions=server"};
}

void add_mount(Builder& table) {
    table.in(Group::mount);
    table.live(
        flag<&M::read_only, Switch::on>("ro", "read-only, on the mount and in the client"), kCallers
    );
    table.live(flag<&M::read_only, Switch::off>("rw", "read and write"), kCallers);
    table
        .add(
            text<&M::context>(
                "context",
                {.kind = Kind::text, .placeholder = "LABEL"},
                "SELinux label; in quotes when it has commas"
            ),
            kCallers
        )
        .default_words = "none";
    table.live(flag<&M::when, When::background>(
        "bg", "when the server cannot be reached, exit 0 and go on trying in the background"
    ));
    table.live(flag<&M::when, When::foreground>(
        "fg", "fail when the server cannot be reached within retry="
    ));
    table
        .live(number_or_none<&M::retry_minutes>(
            "retry",
            {.placeholder = "MINUTES", .min = 0, .max = 1'000'000, .unit = "minutes"},
            "how long a mount is tried again while the server cannot be reached; 0: one try"
        ))
        .default_words = "2, with bg 10000";
    table.live(flag<&M::noexec, Switch::on>("noexec", "programs on the mount cannot be executed"));
    table.live(flag<&M::noatime, Switch::on>("noatime", "reading does not touch access times"));
}

void add_server(Builder& table) {
    table.in(Group::server);
    table.add(number<&M::port>("port", range(1, 65535), "port of the NFS service"));
    table
        .add(number<&M::mount_port, Zero::unset>(
            "mountport",
            range(0, 65535),
            "port of the MOUNT service; with it the portmapper is not asked"
        ))
        .default_words = "asked of the portmapper";
    table
        .add(text<&M::mount_host>(
            "mounthost",
            {.kind = Kind::host, .placeholder = "HOST"},
            "host of the MOUNT service, when it is another"
        ))
        .default_words = "the server";
    table
        .add(text<&M::addresses>(
            "addr",
            {.kind = Kind::addresses, .placeholder = "ADDRESS+ADDRESS+..."},
            "addresses of the server, instead of resolving its name"
        ))
        .default_words = "what its name resolves to";
    table.add(only<kTcp>("proto", kOnlyTcp, "transport of NFS"));
    table.add(accepted("tcp", Kind::flag, "the same as proto=tcp"));
    table.add(only<kTcp>("mountproto", kOnlyTcp, "transport of MOUNT"));
    table.add(only<kThree>("mountvers", "only MOUNT version 3 is supported", "version of MOUNT"));
    table.add(only<kThree>("vers", kOnlyVersion3, "version of NFS"), kCallers).aliases = {
        "nfsvers"};
    table.add(only<kSys>(
        "sec",
        "only AUTH_SYS is supported",
        "security flavour: AUTH_SYS, the identity of this mount"
    ));
    table.live(flag<&M::recovery, Recovery::hard>("hard", "wait for a silent server without end"));
    table.live(flag<&M::recovery, Recovery::soft>(
        "soft", "EIO after retrans= tries; programs may lose data they believed written"
    ));
    table.live(flag<&M::recovery, Recovery::softerr>("softerr", "as soft, with ETIMEDOUT"));
    table.live(number<&M::timeo>(
        "timeo",
        range(1, 36000, "tenths of a second"),
        "how long one try of a call waits, in tenths of a second"
    ));
    table.live(number<&M::retrans>(
        "retrans",
        range(0, 1000),
        "tries after the first before the server counts as not responding"
    ));
    table
        .add(size<&M::rsize, Zero::unset>(
            "rsize",
            {.min = 0, .max = kMaxIoBytes},
            "largest READ in bytes, rounded down to a multiple of 1024, at most 1M"
        ))
        .default_words = "the server's";
    table
        .add(size<&M::wsize, Zero::unset>(
            "wsize",
            {.min = 0, .max = kMaxIoBytes},
            "largest WRITE in bytes, rounded down to a multiple of 1024, at most 1M"
        ))
        .default_words = "the server's";
    table.add(number<&M::nconnect>("nconnect", range(1, 16), "connections to the server"));
    table.add(flag<&M::reserved_port, Switch::on>(
        "resvport", "source port below 1024; where not permitted another is used and logged"
    ));
    table.add(flag<&M::reserved_port, Switch::off>("noresvport", "any source port"));
    table.add(accepted("nolock", Kind::flag, "the same as local_lock=all"));
    table.add(only<kAll>(
        "local_lock", "locks of the server (NLM) are not supported", "locks are local to the mount"
    ));
}

void add_caches(Builder& table) {
    table.in(Group::caches);
    table.live(number<&M::acregmin>(
        "acregmin", seconds(kMaxSeconds), "shortest time that attributes of a file are believed"
    ));
    table.live(number<&M::acregmax>("acregmax", seconds(kMaxSeconds), "longest time for a file"));
    table.live(
        number<&M::acdirmin>("acdirmin", seconds(kMaxSeconds), "shortest time for a directory")
    );
    table.live(
        number<&M::acdirmax>("acdirmax", seconds(kMaxSeconds), "longest time for a directory")
    );
    table.add(OptionSpec{
        .name = "actimeo",
        .value = {Kind::number, "SECONDS", 0, kMaxSeconds, "seconds"},
        .help = "sets all four of the above",
        .apply =
            [](M& options, const Value& value) {
                const auto time = static_cast<std::uint32_t>(value.number);
                options.acregmin = options.acregmax = options.acdirmin = options.acdirmax = time;
            },
        .show = show_nothing,
    });
    table.live(flag<&M::attribute_cache, Switch::on>("ac", "attributes are cached"));
    table.live(flag<&M::attribute_cache, Switch::off>("noac", "the same as actimeo=0,sync"));
    table.live(flag<&M::close_to_open, Switch::on>(
        "cto", "open asks the server for changes, close waits for the data"
    ));
    table.live(flag<&M::close_to_open, Switch::off>("nocto", "open believes cached attributes"));
    table.live(choice<&M::lookup_cache, lookup_words>(
        "lookupcache", "which names are cached: all, only existing ones, none"
    ));
    table.add(flag<&M::readdirplus, Switch::on>("rdirplus", "listings bring attributes along"));
    table.add(flag<&M::readdirplus, Switch::off>("nordirplus", "listings bring names only"));
}

void add_writing(Builder& table) {
    table.in(Group::writing);
    table.live(
        flag<&M::sync, Switch::on>("sync", "every write is on the server's disk before it returns"),
        kCallers
    );
    table.live(
        flag<&M::sync, Switch::off>("async", "writes return at once; close and fsync wait"),
        kCallers
    );
    table.live(
        choice<&M::commit, commit_words>(
            "commit",
            "close: close waits for the server's disk; behind: only for the server, its disk "
            "follows "
            "within 5 s"
        ),
        kCallers
    );
    table.add(
        size<&M::write_behind>(
            "write_behind",
            {.min = 1ull << 20, .max = 64ull << 30},
            "budget of bytes acknowledged and not yet committed"
        ),
        kCallers
    );
    table.live(number<&M::flush_deadline>(
        "flush_deadline",
        seconds(86400),
        "how long an unmount or a stop waits for a server that does not answer"
    ));
}

void add_log(Builder& table) {
    table.in(Group::log);
    table.live(choice<&M::log_level, level_words>("log_level", "what is logged"));
    table
        .add(text<&M::log_file>(
            "log_file", {.kind = Kind::path, .placeholder = "FILE"}, "where it is logged"
        ))
        .default_words = "journal or stderr";
}

/// What mount(8) and fstab(5) pass along.
void add_generic(Builder& table) {
    table.in(Group::generic);
    table.add(accepted("sloppy", Kind::flag, "unknown options are ignored with a warning"));
    table.add(accepted("defaults", Kind::flag, "no effect"));
    table.add(accepted(
        "remount",
        Kind::flag,
        "changes a mount that lives: ro, rw, timers, what waits for the server"
    ));
    for (const std::string_view name :
         {"_netdev", "nofail", "auto", "noauto", "nouser", "nosuid", "nodev"}) {
        table.add(accepted(name, Kind::flag, "accepted for mount(8)"));
    }
    for (const std::string_view name :
         {"relatime",
          "norelatime",
          "strictatime",
          "nostrictatime",
          "lazytime",
          "nolazytime",
          "diratime",
          "nodiratime"}) {
        table.add(accepted(name, Kind::flag, "accepted: the server keeps access times"));
    }
    for (const std::string_view name : {"x-*", "X-*", "comment"}) {
        table.add(accepted(name, Kind::anything, "for others; no effect"));
    }
    for (const std::string_view name : {"intr", "nointr"}) {
        table.add(accepted(name, Kind::flag, "no effect, as in nfs(5): calls can always be killed")
        );
    }
    for (const std::string_view name : {"noacl", "nofsc", "nosharecache"}) {
        table.add(accepted(name, Kind::flag, "of nfs(5); no effect: that is how it is"));
    }
    table.add(flag<&M::noexec, Switch::off>("exec", "the opposite of noexec")).show = show_nothing;
    table.add(flag<&M::noatime, Switch::off>("atime", "the opposite of noatime")).show =
        show_nothing;
    for (const std::string_view name : {"user", "users", "owner", "group"}) {
        auto& row = table.add(flag<&M::noexec, Switch::on>(name, "implies noexec, as in mount(8)"));
        row.value.kind = Kind::anything;
        row.show = show_nothing;
    }
}

/// What people try because other clients have it.
void add_refused(Builder& table) {
    table.in(Group::generic);
    table.add(refused("udp", "only TCP is supported; use tcp or leave it out"));
    table.add(refused(
        "lock",
        "locks of the server (NLM) are not supported; use nolock: locks are local to the mount"
    ));
    table.add(refused("acl", "access control lists are seen and set on the server; leave it out"));
    table.add(refused("fsc", "nothing is cached on a disk; leave it out"));
    table.add(refused("sharecache", "each mount has caches of its own; leave it out"));
    table.add(refused("readonly", "it has another name here; use ro"));
    table.add(refused("suid", "every mount is nosuid; leave it out"));
    table.add(refused("dev", "every mount is nodev; leave it out"));
    for (const std::string_view name : {"username", "password", "pass", "credentials"}) {
        table.add(refused(
            name, "only the volume daemon uidnfsd resolves names and passwords; use uid= and gid="
        ));
    }
}

std::vector<OptionSpec> build() {
    Builder table;
    add_identity(table);
    add_mount(table);
    add_server(table);
    add_caches(table);
    add_writing(table);
    add_log(table);
    add_generic(table);
    add_refused(table);
    return table.take();
}

}  // namespace

const std::vector<OptionSpec>& option_table() {
    static const auto table = build();
    return table;
}

}  // namespace uidnfs::config
