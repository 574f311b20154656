// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/command_line.hpp"

#include "core/left_over.hpp"
#include "core/log.hpp"
#include "plugins/settings/key_table.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace uidnfs::plugins {
namespace {

constexpr std::string_view kUsage =
    R"(uidnfsd: volumes for Docker and Cloud Foundry, each under the identity it really has

usage:
  uidnfsd --config FILE                       the service, started as root; SIGHUP: reads the
                                              file again; SIGTERM: ends, volumes stay mounted
  uidnfsd --config FILE --check               says everything that is wrong with FILE
  uidnfsd resolve USERNAME --config FILE [--json]
                                              the identity that a mount would get; the password is
                                              read from standard input
  uidnfsd check-bindings FILE --config FILE [--json]
                                              what would become of the volumes listed in a file
  uidnfsd support --config FILE               what to send when asking for help, without secrets
  uidnfsd --help-config                       every key of FILE
  uidnfsd --help | --version

exit status: 0 done, 1 refused or failed, 2 wrong usage
)";

constexpr std::string_view kResolveUsage =
    R"(usage: uidnfsd resolve USERNAME --config FILE [--json]

Asks the directory of FILE who USERNAME is and prints uid, gid and groups, which groups were left
out, which server said so, and what the policy says about it. The password is the first line of
standard input; with verify_password = false none is read.

  --json      one JSON object

Exit status 1 when the directory refuses, or when no rule of the policy allows this identity.

example:
  uidnfsd resolve alice --config /etc/uidnfs/uidnfsd.toml
)";

constexpr std::string_view kBindingsUsage =
    R"(usage: uidnfsd check-bindings FILE --config FILE [--json]

Says for each binding of FILE (JSON; - is standard input) whether this configuration would mount it:
fine, warning or refused, and why. It asks no server and no directory, and resolves no name.

FILE has objects, one after the other or in lists: {"name": ..., "share": ..., "mount_config": {...}},
with "Opts" or "Options" for "mount_config". It also takes what `cfdot desired-lrps` and
`docker volume inspect` print.

  --json      one JSON object

Exit status 1 when any would be refused.

example:
  cfdot desired-lrps | uidnfsd check-bindings - --config /etc/uidnfs/uidnfsd.toml
)";

constexpr std::string_view kSupportUsage =
    R"(usage: uidnfsd support --config FILE

Prints one text for whoever helps: versions, the configuration, what is wrong with it, volumes,
health and metrics of the running service, its mounts, and the last lines of the audit where that is
a file. Passwords, names of users and DNs are removed; read it before you send it. Run it as root.

example:
  uidnfsd support --config /etc/uidnfs/uidnfsd.toml > support.txt
)";

UsageError misuse(std::string_view why) {
    return {fmt::format("uidnfsd: {}; see uidnfsd --help", core::log::printable(why))};
}

bool asks_for_help(const std::vector<std::string>& arguments) {
    return std::any_of(arguments.begin(), arguments.end(), [](const auto& argument) {
        return argument == "--help" || argument == "-h";
    });
}

/// Nothing when CLI11 took all of it.
std::optional<UsageError> parse(CLI::App& app, std::vector<std::string> arguments) {
    app.set_help_flag();
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants it
    try {
        app.parse(std::move(arguments));
    } catch (const CLI::ArgumentMismatch& error) {
        const std::string text = error.what();
        const auto name = text.substr(0, text.find(':'));
        return misuse(name == text ? text : name + " takes one value");
    } catch (const CLI::ExtrasError&) {
        return misuse(core::left_over(app.remaining()));
    } catch (const CLI::RequiredError& error) {
        // "--verison" needs no configuration.
        const auto left = app.remaining();
        return misuse(left.empty() ? std::string(error.what()) : core::left_over(left));
    } catch (const CLI::ParseError& error) {
        return misuse(error.what());
    }
    return std::nullopt;
}

Invocation parse_resolve(const std::vector<std::string>& arguments) {
    if (asks_for_help(arguments)) return ShowText{std::string(kResolveUsage)};
    Resolve result;
    bool json = false;
    CLI::App app;
    app.add_option("USERNAME", result.user)->required();
    app.add_option("--config", result.config)->required();
    app.add_flag("--json", json);
    if (auto error = parse(app, arguments)) return *error;
    if (result.user.empty()) return misuse("USERNAME is empty");
    if (json) result.format = Resolve::Format::json;
    return result;
}

Invocation parse_check_bindings(const std::vector<std::string>& arguments) {
    if (asks_for_help(arguments)) return ShowText{std::string(kBindingsUsage)};
    CheckBindings result;
    bool json = false;
    CLI::App app;
    app.add_option("FILE", result.file)->required();
    app.add_option("--config", result.config)->required();
    app.add_flag("--json", json);
    if (auto error = parse(app, arguments)) return *error;
    if (json) result.format = CheckBindings::Format::json;
    return result;
}

Invocation parse_support(const std::vector<std::string>& arguments) {
    if (asks_for_help(arguments)) return ShowText{std::string(kSupportUsage)};
    Support result;
    CLI::App app;
    app.add_option("--config", result.config)->required();
    if (auto error = parse(app, arguments)) return *error;
    return result;
}

Invocation parse_service(const std::vector<std::string>& arguments) {
    std::string config;
    bool check = false;
    CLI::App app;
    app.add_option("--config", config)->required();
    app.add_flag("--check", check);
    if (auto error = parse(app, arguments)) return *error;
    if (check) return Check{std::move(config)};
    return Serve{std::move(config)};
}

}  // namespace

Invocation parse_command_line(const std::vector<std::string>& arguments) {
    if (arguments.empty()) return misuse("--config FILE is missing");
    const auto& first = arguments.front();
    const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    if (first == "resolve") return parse_resolve(rest);
    if (first == "check-bindings") return parse_check_bindings(rest);
    if (first == "support") return parse_support(rest);
    if (first == "help" || asks_for_help(arguments)) return ShowText{std::string(kUsage)};
    if (first == "--version" || first == "-V") return ShowText{"uidnfsd " UIDNFS_VERSION "\n"};
    if (first == "--help-config") return ShowText{render_key_help()};
    if (!first.starts_with('-')) {
        return misuse(fmt::format(
            "unknown command {}; the commands are resolve, check-bindings and support", first
        ));
    }
    return parse_service(arguments);
}

}  // namespace uidnfs::plugins
