// SPDX-License-Identifier: Apache-2.0
#include "app/command_line.hpp"

#include "app/names.hpp"
#include "config/help.hpp"
#include "config/option_table.hpp"
#include "config/text.hpp"
#include "core/left_over.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace uidnfs::app {
namespace {

constexpr std::string_view kOverview =
    R"(uidnfs: an NFS share as the person or service that the application really is

usage:
  uidnfs mount SOURCE MOUNTPOINT [-o OPTION[,OPTION...]] [--OPTION[=VALUE]...]
  uidnfs umount MOUNTPOINT [--lazy|--force] [--flush-deadline SECONDS]
  uidnfs status [MOUNTPOINT] [--json]
  uidnfs check SOURCE [-o OPTION[,OPTION...]] [--OPTION[=VALUE]...] [--write] [--json]
  uidnfs recover FILE [--list] [--to SOURCE|DIRECTORY] [--force]
  uidnfs upgrade MOUNTPOINT|--all [--flush-deadline SECONDS]
  uidnfs adopt MOUNTPOINT
  uidnfs COMMAND --help
  uidnfs --help | --version

commands:
  mount    mounts a share; returns when it can be used
  umount   brings everything written to the server, then unmounts
  status   says how mounts are: identity, server, caches, operations, bytes not yet committed
  check    says step by step what a mount would meet; mounts nothing
  recover  writes back what a mount could not write when it ended
  upgrade  lets this version go on with mounts of another one, in use or not
  adopt    gives a mount whose keeper process was killed the next one

example:
  uidnfs mount nas1:/exports/a /mnt -o uid=1001,gid=1001

exit status: 0 done, 1 refused or failed, 2 wrong usage
)";

/// Below it a worker may not even start: its threads' stacks count.
constexpr std::uint64_t kLeastWorkerMemory = 64ull << 20;
constexpr std::uint64_t kLeastWriteBehind = 1ull << 20;  // of the option

constexpr std::string_view kMountUsage =
    R"(usage: uidnfs mount SOURCE MOUNTPOINT [-o OPTION[,OPTION...]] [--OPTION[=VALUE]...]
                    [--foreground] [--ready-fd N] [--worker-user NAME]
                    [--worker-memory BYTES] [--worker-group DIRECTORY]
                    [--write-behind-limit BYTES] [--recovery-directory DIR]
                    [--identity-source WORD] [--end-with PID]

Mounts an NFS share; each call carries the identity uid=, gid=, and every file is shown as the
application user's (app_uid=, app_gid=). Returns when the mount can be used, or prints one error and
leaves nothing behind.

SOURCE is server:/export, [IPv6]:/export or nfs://server[:port]/export[?option=value&...].
MOUNTPOINT is a directory, or /dev/fd/N: an open /dev/fuse that somebody else has mounted.

  --foreground                stay in the foreground; end with SIGINT, SIGTERM or SIGHUP
  --ready-fd N                write "READY=1" and a line feed to descriptor N once mounted
  --worker-user NAME          user that the worker becomes when root mounts (uidnfs, else nobody)
  --worker-memory BYTES       what the worker may take for itself, its file data apart
  --worker-group DIRECTORY    control group (version 2) that the worker joins before it begins
  --write-behind-limit BYTES  write_behind= counts up to this, which can be changed later
  --recovery-directory DIR    where what cannot be written is kept when the mount ends (default:
                              /var/lib/uidnfs/recovery; not root: below $XDG_STATE_HOME)
  --identity-source WORD      what status says of where uid= and gid= are from: declared or ldap
  --end-with PID              when PID, its parent, ends before the mount is there, so does this
  -o OPTION[,OPTION...]       options as below; each can also be written as --OPTION[=VALUE]

)";

constexpr std::string_view kUmountUsage =
    R"(usage: uidnfs umount MOUNTPOINT [--lazy|--force] [--flush-deadline SECONDS]

Brings everything written to the server, then unmounts. Fails and changes nothing when the mount is
in use, or when the server does not take all bytes within the flush deadline.

  --lazy                      detach at once; bytes not yet written follow in the background
  --force                     give up on a server that does not answer, and say what was lost
  --flush-deadline SECONDS    how long to wait for the server (default: flush_deadline= of the
                              mount; with --force: 2)
)";

constexpr std::string_view kStatusUsage = R"(usage: uidnfs status [MOUNTPOINT] [--json]

Says how one mount is, or all of them. Exit status 1 if any is not healthy.

  --json                      one JSON object per mount and line
)";

constexpr std::string_view kCheckUsage =
    R"(usage: uidnfs check SOURCE [-o OPTION[,OPTION...]] [--OPTION[=VALUE]...] [--write] [--json]

Says step by step what a mount of SOURCE would meet: the addresses of the name, the connection, the
portmapper, MOUNT, security flavours, FSINFO, and what the identity uid=, gid= may do in the root of
the export. Mounts nothing and needs no right. Exit status 1 if a step failed.

  --write                     create a file in the root of the export, say which owner the server
                              recorded (all_squash shows here), remove it
  --json                      one JSON object per step and line
  -o OPTION[,OPTION...]       as of uidnfs mount, see uidnfs mount --help
)";

constexpr std::string_view kRecoverUsage =
    R"(usage: uidnfs recover FILE [--list] [--to SOURCE|DIRECTORY] [--force]

Writes back what a mount could not write when it ended, to the server and in the name of who wrote
it. FILE is the recovery file that umount and the log named; it is left as it is. A file that was
changed on the server since is not touched. Exit status 1 if anything was not written.

  --list                      say what FILE holds, write nothing
  --to SOURCE                 the same export under another name: server:/export or a URL
  --to DIRECTORY              write below a directory (begins with / or .), by path, as who runs this
  --force                     also to files that were changed since; where a file is gone, to what
                              has its path now, or to a new one
)";

constexpr std::string_view kUpgradeUsage =
    R"(usage: uidnfs upgrade MOUNTPOINT|--all [--flush-deadline SECONDS]

Lets this program go on with a mount that another version of it serves: programs that use it see a
pause. Nothing changes when this version cannot read the state of the mount, or when the server does
not answer what is under way within the deadline. The way back is the same command of the other
version.

  --all                       every mount of this user
  --flush-deadline SECONDS    how long to wait for the server (default: 10)
)";

constexpr std::string_view kAdoptUsage = R"(usage: uidnfs adopt [--held] MOUNTPOINT

Gives a mount whose keeper process was killed the next one, so that its worker is replaced again
when it dies. Programs that use the mount notice nothing. The daemon does it by itself for its
volumes. Exit status 3 if no worker process serves the mount any more.

  --held    for the daemon, which hands over what the keeper had given it
)";

constexpr std::string_view kCommands = "mount, umount, status, check, recover, upgrade, adopt";

/// CLI11's own checks answer in its words ("UINT in [0 - 86400]"), with doubles for a descriptor.
CLI::Validator number_from(std::uint64_t least, std::uint64_t most) {
    return {
        [least, most](const std::string& text) -> std::string {
            std::uint64_t number = 0;
            const auto* end = text.data() + text.size();
            const auto [rest, error] = std::from_chars(text.data(), end, number);
            const bool is_number = !text.empty() && rest == end && error == std::errc{};
            if (is_number && least <= number && number <= most) return {};
            return fmt::format("{}: use a whole number from {} to {}", text, least, most);
        },
        ""};
}

UsageError misuse(std::string why, std::string_view command) {
    return {fmt::format("uidnfs {}: {}; see uidnfs {} --help", command, why, command)};
}

/// Runs CLI11 over `arguments`: help first, then what does not fit. `hint`: why there may be too
/// many.
std::optional<Command> parse_flags(
    CLI::App& app,
    std::vector<std::string> arguments,
    std::string_view command,
    std::string_view usage,
    std::string_view hint = {}
) {
    app.set_help_flag();
    bool help = false;
    app.add_flag("-h,--help", help);
    if (std::any_of(arguments.begin(), arguments.end(), [](const std::string& argument) {
            return argument == "--help" || argument == "-h";
        })) {
        std::string text(usage);
        if (command == "mount") text += config::render_option_help();
        return ShowText{std::move(text)};
    }
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants it
    try {
        app.parse(std::move(arguments));
    } catch (const CLI::ArgumentMismatch& error) {
        const std::string text = error.what();
        const auto name = text.substr(0, text.find(':'));
        return misuse(printable(name == text ? text : name + " takes one value"), command);
    } catch (const CLI::ExtrasError&) {
        return misuse(printable(core::left_over(app.remaining())) + std::string(hint), command);
    } catch (const CLI::ParseError& error) {
        return misuse(printable(error.what()), command);
    }
    return std::nullopt;
}

constexpr std::array<std::string_view, 10> kMountFlags{
    "foreground",
    "ready-fd",
    "worker-user",
    "worker-memory",
    "worker-group",
    "write-behind-limit",
    "end-with",
    "recovery-directory",
    "identity-source",
    "help"};
constexpr std::array<std::string_view, 3> kCheckFlags{"write", "json", "help"};

/// Takes -o and --OPTION[=VALUE] out of the line, in order, since a later option wins.
class MountLine {
public:
    using Flags = std::vector<std::string_view>;

    /// `own`: the flags of the command that are no mount options.
    MountLine(const std::vector<std::string>& arguments, const Flags& own) {
        for (std::size_t i = 0; i < arguments.size(); ++i) {
            const auto& argument = arguments[i];
            if (argument == "--") {
                rest_.insert(
                    rest_.end(), arguments.begin() + static_cast<long>(i), arguments.end()
                );
                return;
            }
            if (argument == "-o" || argument == "--options") {
                if (++i == arguments.size()) {
                    problem_ = argument + " needs options";
                    return;
                }
                add(arguments[i]);
            } else if (argument.starts_with("-o")) {
                add(argument.substr(2));
            } else if (is_own(argument)) {
                rest_.push_back(argument);
            } else if (auto option = config::split_flag(argument)) {
                if (const auto meant = misspelled(option->name, own); !meant.empty()) {
                    problem_ = fmt::format(
                        "unknown flag --{} (did you mean --{}?)",
                        config::shown(option->name, 40),
                        meant
                    );
                    return;
                }
                // "--uid 1001" as well as "--uid=1001".
                const bool has_next =
                    i + 1 < arguments.size() && !arguments[i + 1].starts_with('-');
                if (!option->value && has_next && takes_value(option->name)) {
                    option->value = arguments[++i];
                }
                options_.push_back(std::move(*option));
            } else {
                rest_.push_back(argument);
            }
        }
    }

    std::vector<config::RawOption> take_options() { return std::move(options_); }
    const std::vector<std::string>& rest() const noexcept { return rest_; }
    const std::string& problem() const noexcept { return problem_; }
    /// What may have made arguments of options; empty: nothing did.
    std::string_view hint() const noexcept {
        return has_blanks_ ? ", and a comma ends the options of -o: write them without blanks" : "";
    }

private:
    static bool is_own(std::string_view argument) {
        const auto name = argument.substr(0, argument.find('='));
        const auto is_it = [&](std::string_view flag) { return name.substr(2) == flag; };
        return name.starts_with("--") &&
               (std::any_of(kMountFlags.begin(), kMountFlags.end(), is_it) ||
                std::any_of(kCheckFlags.begin(), kCheckFlags.end(), is_it));
    }

    /// The one of `own` that is most like an option that nobody knows.
    static std::string_view misspelled(std::string_view name, const Flags& own) {
        if (config::find_option(name)) return {};
        auto candidates = config::option_names();
        candidates.insert(candidates.end(), own.begin(), own.end());
        const auto nearest = config::nearest_name(name, candidates);
        return std::find(own.begin(), own.end(), nearest) != own.end() ? nearest
                                                                       : std::string_view();
    }

    static bool takes_value(std::string_view name) {
        const auto* option = config::find_option(name);
        return option && option->value.kind != config::Kind::flag &&
               option->value.kind != config::Kind::anything;
    }

    void add(std::string_view text) {
        has_blanks_ = has_blanks_ || text.ends_with(',');
        for (auto& option : config::split_option_string(text, "-o")) {
            options_.push_back(std::move(option));
        }
    }

    std::vector<config::RawOption> options_;
    std::vector<std::string> rest_;
    std::string problem_;
    bool has_blanks_ = false;
};

Command parse_mount(const std::vector<std::string>& arguments) {
    MountLine line(arguments, {kMountFlags.begin(), kMountFlags.end()});
    if (!line.problem().empty()) return misuse(line.problem(), "mount");
    MountArguments result;
    bool foreground = false;
    int ready_fd = -1;
    CLI::App app;
    app.add_option("SOURCE", result.source)->required();
    app.add_option("MOUNTPOINT", result.mountpoint)->required();
    app.add_flag("--foreground", foreground);
    auto* ready = app.add_option("--ready-fd", ready_fd)
                      ->check(number_from(0, std::numeric_limits<int>::max()));
    app.add_option("--worker-user", result.worker_user);
    app.add_option("--worker-memory", result.worker_memory)
        ->check(number_from(kLeastWorkerMemory, std::uint64_t{1} << 40));
    app.add_option("--worker-group", result.worker_group);
    app.add_option("--write-behind-limit", result.write_behind_limit)
        ->check(number_from(kLeastWriteBehind, std::uint64_t{1} << 40));
    app.add_option("--end-with", result.end_with)
        ->check(number_from(1, std::numeric_limits<pid_t>::max()));
    app.add_option("--recovery-directory", result.recovery_directory);
    app.add_option("--identity-source", result.identity_source)
        ->check(CLI::IsMember({"declared", "ldap"}));
    if (auto other = parse_flags(app, line.rest(), "mount", kMountUsage, line.hint())) {
        return *other;
    }
    if (result.mountpoint.empty()) return misuse("MOUNTPOINT is empty", "mount");
    result.options = line.take_options();
    result.stay = foreground ? Stay::foreground : Stay::background;
    if (ready->count() > 0) result.ready_fd = ready_fd;
    return result;
}

Command parse_umount(const std::vector<std::string>& arguments) {
    UmountArguments result;
    bool lazy = false;
    bool force = false;
    std::uint32_t seconds = 0;
    CLI::App app;
    app.add_option("MOUNTPOINT", result.mountpoint)->required();
    auto* lazy_flag = app.add_flag("-l,--lazy", lazy);
    app.add_flag("-f,--force", force)->excludes(lazy_flag);
    auto* deadline = app.add_option("--flush-deadline", seconds)->check(number_from(0, 86'400));
    if (auto other = parse_flags(app, arguments, "umount", kUmountUsage)) return *other;
    if (result.mountpoint.empty()) return misuse("MOUNTPOINT is empty", "umount");
    using How = UmountArguments::How;
    result.how = lazy ? How::lazy : force ? How::force : How::orderly;
    if (deadline->count() > 0) result.flush_deadline_seconds = seconds;
    return result;
}

Command parse_status(const std::vector<std::string>& arguments) {
    StatusArguments result;
    std::string mountpoint;
    bool json = false;
    CLI::App app;
    app.add_option("MOUNTPOINT", mountpoint);
    app.add_flag("--json", json);
    if (auto other = parse_flags(app, arguments, "status", kStatusUsage)) return *other;
    if (!mountpoint.empty()) result.mountpoint = std::move(mountpoint);
    result.format = json ? StatusArguments::Format::json : StatusArguments::Format::human;
    return result;
}

Command parse_check(const std::vector<std::string>& arguments) {
    MountLine line(arguments, {kCheckFlags.begin(), kCheckFlags.end()});
    if (!line.problem().empty()) return misuse(line.problem(), "check");
    CheckArguments result;
    bool write = false;
    bool json = false;
    CLI::App app;
    app.add_option("SOURCE", result.source)->required();
    app.add_flag("--write", write);
    app.add_flag("--json", json);
    if (auto other = parse_flags(app, line.rest(), "check", kCheckUsage, line.hint())) {
        return *other;
    }
    result.options = line.take_options();
    result.write = write ? CheckArguments::Write::yes : CheckArguments::Write::no;
    result.format = json ? CheckArguments::Format::json : CheckArguments::Format::human;
    return result;
}

Command parse_recover(const std::vector<std::string>& arguments) {
    RecoverArguments result;
    bool list = false;
    bool force = false;
    CLI::App app;
    app.add_option("FILE", result.file)->required();
    auto* list_flag = app.add_flag("--list", list);
    app.add_option("--to", result.to)->excludes(list_flag);
    app.add_flag("--force", force)->excludes(list_flag);
    if (auto other = parse_flags(app, arguments, "recover", kRecoverUsage)) return *other;
    using Action = RecoverArguments::Action;
    using Conflicts = RecoverArguments::Conflicts;
    result.action = list ? Action::list : Action::write;
    result.conflicts = force ? Conflicts::overwritten : Conflicts::refused;
    return result;
}

Command parse_upgrade(const std::vector<std::string>& arguments) {
    UpgradeArguments result;
    std::string mountpoint;
    bool all = false;
    std::uint32_t seconds = 0;
    CLI::App app;
    auto* one = app.add_option("MOUNTPOINT", mountpoint);
    app.add_flag("--all", all)->excludes(one);
    auto* deadline = app.add_option("--flush-deadline", seconds)->check(number_from(0, 86'400));
    if (auto other = parse_flags(app, arguments, "upgrade", kUpgradeUsage)) return *other;
    if (mountpoint.empty() && !all) return misuse("MOUNTPOINT or --all is missing", "upgrade");
    if (!all) result.mountpoint = std::move(mountpoint);
    if (deadline->count() > 0) result.flush_deadline_seconds = seconds;
    return result;
}

Command parse_adopt(const std::vector<std::string>& arguments) {
    AdoptArguments result;
    CLI::App app;
    app.add_option("MOUNTPOINT", result.mountpoint)->required();
    app.add_flag("--held", result.has_held);
    if (auto other = parse_flags(app, arguments, "adopt", kAdoptUsage)) return *other;
    if (result.mountpoint.empty()) return misuse("MOUNTPOINT is empty", "adopt");
    return result;
}

}  // namespace

Command parse_command_line(const std::vector<std::string>& arguments) {
    if (arguments.empty()) {
        return UsageError{
            fmt::format("uidnfs: a command is missing ({}); see uidnfs --help", kCommands)};
    }
    const auto& name = arguments.front();
    const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    if (name == "mount") return parse_mount(rest);
    if (name == "umount" || name == "unmount") return parse_umount(rest);
    if (name == "status") return parse_status(rest);
    if (name == "check") return parse_check(rest);
    if (name == "recover") return parse_recover(rest);
    if (name == "upgrade") return parse_upgrade(rest);
    if (name == "adopt") return parse_adopt(rest);
    if (name == "keeper") return KeeperRole{};
    if (name == "worker") return WorkerRole{};
    if (name == "salvage") return SalvageRole{};
    if (name == "--help" || name == "-h" || name == "help") {
        return ShowText{std::string(kOverview)};
    }
    if (name == "--version" || name == "-V") return ShowText{"uidnfs " UIDNFS_VERSION "\n"};
    return UsageError{fmt::format(
        "uidnfs: unknown command {}; commands are {}; see uidnfs --help", printable(name), kCommands
    )};
}

}  // namespace uidnfs::app
