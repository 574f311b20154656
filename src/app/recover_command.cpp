// SPDX-License-Identifier: Apache-2.0
// `uidnfs recover`: writes back what a mount could not write when it ended.
#include "app/commands.hpp"
#include "app/convert.hpp"
#include "app/names.hpp"
#include "app/recover_write.hpp"
#include "app/recovery_file.hpp"
#include "config/mount_options.hpp"
#include "core/log.hpp"
#include "core/reactor.hpp"
#include "nfs/mount.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>

namespace uidnfs::app {
namespace {

/// Whoever recovers sits there: a server that does not answer is told.
constexpr std::uint32_t kLongestTimeo = 100;
constexpr std::chrono::seconds kLongestPutOff{30};

std::string describe(const RecoveryIdentity& identity) {
    auto out = fmt::format("{}:{}", identity.uid, identity.gid);
    std::string_view separator = " groups ";
    for (const auto group : identity.groups) {
        out += fmt::format("{}{}", separator, group);
        separator = ",";
    }
    return out;
}

void tell_damage(const Recovery& recovery, Console& console) {
    if (recovery.damage.empty()) return;
    console.print(fmt::format(
        "{}: this is what could be read of it, look at the files afterwards\n",
        printable(recovery.damage)
    ));
}

void list(const Recovery& recovery, Console& console) {
    console.print(fmt::format(
        "{} on {}, ended {}: {} in {} file{}\n",
        printable(recovery.source),
        printable(recovery.mountpoint),
        recovery.when,
        human_bytes(recovery.bytes()),
        recovery.entries.size(),
        recovery.entries.size() == 1 ? "" : "s"
    ));
    tell_damage(recovery, console);
    for (const auto& entry : recovery.entries) {
        for (const auto& range : entry.ranges) {
            console.print(fmt::format(
                "{}: {} at offset {} as {}\n",
                entry.describe(),
                human_bytes(range.length),
                range.offset,
                describe(range.identity)
            ));
        }
    }
}

struct Job {
    config::MountRequest request;
    fs::Options options;
    nfs::MountParameters parameters;
    const Recovery& recovery;
    RecoverArguments::Conflicts conflicts;
};

core::Task<void> run(
    core::Reactor& reactor,
    const Job& job,
    RecoverTold& told,
    std::optional<core::Outcome<void>>& done
) {
    auto mounting = nfs::mount_export(
        reactor, target_of(job.request.source), job.parameters, job.options.credential
    );
    auto exported = co_await mounting;
    if (!exported) {
        done = core::Outcome<void>(exported.error());
        co_return;
    }
    auto& client = *exported->client;
    const std::function<void()> wait_no_more = [&] {
        auto terms = job.parameters;
        terms.put_off = std::chrono::seconds(0);
        exported->set_terms(terms);
    };
    auto writing =
        recover_to_server(client, job.options, job.recovery, job.conflicts, told, wait_no_more);
    co_await writing;
    const nfs::CallContext context{job.options.credential};
    auto leaving = client.shutdown(context);
    co_await leaving;
    done = core::Outcome<void>();
}

core::Outcome<void> to_server(
    const RecoverArguments& arguments, const Recovery& recovery, RecoverTold& told
) {
    std::vector<config::RawOption> options;
    for (const auto& option : recovery.options) options.push_back(read_option(option));
    const auto& source = arguments.to.empty() ? recovery.source : arguments.to;
    auto request = config::parse_mount_request(source, options);
    if (!request) {
        auto failure = std::move(request).error();
        if (!arguments.to.empty()) failure.user_text += ", or ./DIRECTORY";
        return failure;
    }
    auto converted = filesystem_options_of(request->options, machine_name());
    if (!converted) return converted.error();
    auto parameters = parameters_of(request->options);
    parameters.recovery = nfs::Recovery::soft;
    parameters.timeo = std::min(parameters.timeo, kLongestTimeo);
    parameters.put_off = kLongestPutOff;
    parameters.root_access = nfs::MountParameters::RootAccess::unneeded;
    const Job job{
        std::move(*request),
        std::move(*converted),
        std::move(parameters),
        recovery,
        arguments.conflicts};
    core::log::set_level(core::log::Level::off);  // what is said is said here
    core::Reactor reactor;
    std::optional<core::Outcome<void>> done;
    core::spawn(run(reactor, job, told, done));
    reactor.run_until([&] { return done.has_value(); });
    return *done;
}

/// A source has a ':' before any '/' (nfs(5)); a directory begins with '/' or '.'.
bool is_directory(const std::string& to) { return to.starts_with('/') || to.starts_with('.'); }

}  // namespace

int run_recover(const RecoverArguments& arguments, Console& console) {
    const auto file = RecoveryFile::open(arguments.file);
    if (!file) {
        console.complain(file.error().user_text);
        return kExitFailed;
    }
    const auto& recovery = file->contents();
    if (arguments.action == RecoverArguments::Action::list) {
        list(recovery, console);
        return kExitDone;
    }
    tell_damage(recovery, console);
    RecoverTold told(console);
    if (is_directory(arguments.to)) {
        recover_to_directory(arguments.to, recovery, arguments.conflicts, told);
    } else if (const auto done = to_server(arguments, recovery, told); !done) {
        console.complain(
            fmt::format("cannot recover {}: {}", printable(arguments.file), done.error().user_text)
        );
        return kExitFailed;
    }
    if (told.failures() > 0) return kExitFailed;
    console.print(fmt::format(
        "all of it is {}; {} can be removed\n",
        is_directory(arguments.to) ? "below " + printable(arguments.to) : "on the server",
        printable(arguments.file)
    ));
    return kExitDone;
}

}  // namespace uidnfs::app
