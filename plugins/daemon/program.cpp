// SPDX-License-Identifier: Apache-2.0
// From argv to the command, and the two small ones.
#include "core/log.hpp"
#include "ldap/directory.hpp"
#include "plugins/daemon/commands.hpp"
#include "plugins/daemon/password.hpp"
#include "plugins/daemon/platforms.hpp"
#include "plugins/daemon/resolve_report.hpp"
#include "plugins/daemon/roles.hpp"
#include "plugins/daemon/service_user.hpp"
#include "plugins/settings/load.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <type_traits>

namespace uidnfs::plugins {
namespace {

void complain(const std::vector<Problem>& problems, core::Console& console) {
    for (const auto& problem : problems) console.complain(to_text(problem));
}

int fail(const Resolve& command, const ldap::Failure& failure, core::Console& console) {
    if (command.format == Resolve::Format::json) {
        console.print(json_report(command.user, failure));
        return kExitFailed;
    }
    const auto said = ldap::to_core(failure);
    console.complain(core::log::printable(
        fmt::format("uidnfsd: cannot resolve {}: {}", command.user, said.user_text)
    ));
    // The word that docs/LDAP.md, --json and the metrics have for it.
    console.complain(core::log::printable(
        fmt::format("uidnfsd: {} {}", ldap::to_string(failure.kind), said.operator_text)
    ));
    return kExitFailed;
}

}  // namespace

int run_check(const Check& command, const Environment& environment, core::Console& console) {
    auto loaded = load_settings(command.config, environment);
    if (!loaded.settings) {
        complain(loaded.problems, console);
        console.complain(fmt::format(
            "{}: {} problem{}",
            core::log::printable(command.config),
            loaded.problems.size(),
            loaded.problems.size() == 1 ? "" : "s"
        ));
        return kExitFailed;
    }
    // No fault of the file, which may be checked on another machine; here nothing would start.
    const auto user = find_service_user(loaded.settings->workers.user);
    if (!user) loaded.warnings.push_back(user.error().user_text);
    const auto& ldap = loaded.settings->ldap;
    if (user && ldap && !ldap->ca_file.empty()) {
        if (const auto fits = check_readable(ldap->ca_file, *user); !fits) {
            loaded.warnings.push_back(fmt::format("ldap.ca_file: {}", fits.error().user_text));
        }
    }
    if (auto usable = check_tls(*loaded.settings); !usable) {
        loaded.warnings.push_back(usable.error().user_text);
    }
    for (const auto& warning : loaded.warnings) {
        console.print(
            core::log::printable(fmt::format("{}: note: {}", command.config, warning)) + "\n"
        );
    }
    console.print(core::log::printable(fmt::format("{}: no problems", command.config)) + "\n");
    return kExitDone;
}

int run_resolve(const Resolve& command, const Environment& environment, core::Console& console) {
    auto loaded = load_settings(command.config, environment);
    if (!loaded.settings) {
        complain(loaded.problems, console);
        return kExitFailed;
    }
    auto& settings = *loaded.settings;
    if (!settings.ldap) {
        console.complain(fmt::format(
            "uidnfsd: cannot resolve {}: {} has no [ldap]; add it, see docs/LDAP.md",
            core::log::printable(command.user),
            core::log::printable(command.config)
        ));
        return kExitFailed;
    }
    core::Secret password;
    if (settings.ldap->verify_password) {
        const auto prompt = fmt::format("Password of {}: ", core::log::printable(command.user));
        auto read = read_password(STDIN_FILENO, console, prompt);
        if (!read) {
            console.complain(fmt::format("uidnfsd: {}", read.error().user_text));
            return kExitFailed;
        }
        password = std::move(*read);
    }
    // The report says what the log would say of an identity; the log, why a server is passed over.
    core::log::set_level(core::log::Level::warning);
    // The service's file is the service's; here the servers are asked.
    settings.ldap->cache_file.clear();
    ldap::Directory directory(std::move(*settings.ldap));
    const auto answer = directory.resolve(command.user, std::move(password));
    if (!answer) return fail(command, answer.error(), console);
    const bool is_json = command.format == Resolve::Format::json;
    console.print(
        is_json ? json_report(*answer, settings.policy) : human_report(*answer, settings.policy)
    );
    const bool passes = !view(settings.policy, *answer).rules.empty() ||
                        settings.policy.mode == policy::Mode::report;
    return passes ? kExitDone : kExitFailed;
}

void protect_process() {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int run_program(const std::vector<std::string>& arguments, core::Console& console) {
    const std::vector<std::string> rest(
        arguments.empty() ? arguments.begin() : arguments.begin() + 1, arguments.end()
    );
    protect_process();
    // To standard error nothing can fail to be opened.
    static_cast<void>(core::log::configure({}));
    const auto environment = Environment::take();
    ldap::prepare_process();
    if (const auto status = run_role(rest, environment)) return *status;
    return std::visit(
        [&](const auto& command) {
            using T = std::decay_t<decltype(command)>;
            if constexpr (std::is_same_v<T, Serve>) {
                return run_service(command, environment, console);
            } else if constexpr (std::is_same_v<T, Check>) {
                return run_check(command, environment, console);
            } else if constexpr (std::is_same_v<T, Resolve>) {
                return run_resolve(command, environment, console);
            } else if constexpr (std::is_same_v<T, CheckBindings>) {
                return run_check_bindings(command, environment, console);
            } else if constexpr (std::is_same_v<T, Support>) {
                return run_support(command, environment, console);
            } else if constexpr (std::is_same_v<T, ShowText>) {
                console.print(command.text);
                return kExitDone;
            } else {
                console.complain(command.text);
                return kExitUsage;
            }
        },
        parse_command_line(rest)
    );
}

}  // namespace uidnfs::plugins
