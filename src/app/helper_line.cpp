// SPDX-License-Identifier: Apache-2.0
#include "app/helper_line.hpp"

#include "app/commands.hpp"
#include "app/names.hpp"
#include "config/mount_options.hpp"
#include "core/fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <exception>

namespace uidnfs::app {
namespace {

constexpr int kInvocation = 1;
constexpr int kSystem = 2;
constexpr int kDefect = 4;
constexpr int kInterrupted = 8;
constexpr int kMountFailure = 32;

std::string_view name_of(Helper helper) {
    return helper == Helper::mount ? "mount.uidnfs" : "umount.uidnfs";
}

std::string_view usage_of(Helper helper) {
    return helper == Helper::mount ? "SOURCE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o OPTIONS]"
                                   : "MOUNTPOINT [-flnrv] [-N NAMESPACE]";
}

/// Flags that may stand together behind one dash, the way mount(8) passes them.
struct Line {
    std::string letters;
    std::vector<std::string> words;
    std::vector<std::string> options;
    std::string mount_namespace;
    std::string problem;
};

Line split(const std::vector<std::string>& arguments, std::string_view allowed) {
    Line line;
    for (std::size_t i = 0; i < arguments.size() && line.problem.empty(); ++i) {
        const auto& argument = arguments[i];
        if (argument.size() < 2 || argument[0] != '-') {
            line.words.push_back(argument);
            continue;
        }
        for (std::size_t at = 1; at < argument.size(); ++at) {
            const char letter = argument[at];
            if (letter == 'o' || letter == 't' || letter == 'N') {
                auto value = argument.substr(at + 1);
                if (value.empty() && ++i < arguments.size()) value = arguments[i];
                if (value.empty()) {
                    line.problem = fmt::format("-{} needs a value", letter);
                } else if (letter == 'o') {
                    line.options.push_back(std::move(value));
                } else if (letter == 'N') {
                    // A number is a process, as mount(8) has it.
                    const bool is_pid = value.find_first_not_of("0123456789") == std::string::npos;
                    line.mount_namespace =
                        is_pid ? fmt::format("/proc/{}/ns/mnt", value) : std::move(value);
                }
                break;
            }
            if (allowed.find(letter) == std::string_view::npos) {
                line.problem = fmt::format("unknown flag {}", printable(argument));
                break;
            }
            line.letters += letter;
        }
    }
    return line;
}

UsageError misuse(Helper helper, std::string_view why) {
    return {fmt::format("{0}: {1}; usage: {0} {2}", name_of(helper), why, usage_of(helper))};
}

HelperCommand parse_mount(const Line& line) {
    if (line.words.size() != 2)
        return misuse(Helper::mount, "one source and one mount point are needed");
    HelperMount command;
    command.arguments.source = line.words[0];
    command.arguments.mountpoint = line.words[1];
    const auto has = [&](char letter) { return line.letters.find(letter) != std::string::npos; };
    if (has('s')) command.arguments.options.push_back({"sloppy", std::nullopt, "-s"});
    if (has('f')) command.doing = HelperMount::Doing::fake;
    for (const auto& text : line.options) {
        for (auto& option : config::split_option_string(text, "-o")) {
            command.arguments.options.push_back(std::move(option));
        }
    }
    return command;
}

HelperCommand parse_umount(const Line& line) {
    if (line.words.size() != 1) return misuse(Helper::umount, "one mount point is needed");
    using How = UmountArguments::How;
    UmountArguments command;
    command.mountpoint = line.words[0];
    const auto has = [&](char letter) { return line.letters.find(letter) != std::string::npos; };
    command.how = has('l') ? How::lazy : has('f') ? How::force : How::orderly;
    return command;
}

int exit_code(int status) {
    if (status == kExitDone) return 0;
    return status == kExitUsage ? kInvocation : kMountFailure;
}

int check_only(const MountArguments& arguments, Console& console) {
    const auto request = config::parse_mount_request(arguments.source, arguments.options);
    if (request) return 0;
    console.complain(request.error().user_text);
    return kInvocation;
}

/// 0 or an errno.
int enter(const std::string& mount_namespace) {
    if (mount_namespace.empty()) return 0;
    const core::Fd target(::open(mount_namespace.c_str(), O_RDONLY | O_CLOEXEC));
    return target && ::setns(target.get(), CLONE_NEWNS) == 0 ? 0 : errno;
}

}  // namespace

std::optional<Helper> helper_role(std::string_view program) {
    program.remove_prefix(program.rfind('/') + 1);  // npos + 1 is 0
    if (program == "mount.uidnfs" || program == "mount.fuse.uidnfs") return Helper::mount;
    if (program == "umount.uidnfs" || program == "umount.fuse.uidnfs") return Helper::umount;
    return std::nullopt;
}

HelperCall parse_helper_line(Helper helper, const std::vector<std::string>& arguments) {
    const auto line = split(arguments, helper == Helper::mount ? "sfnv" : "flnrv");
    if (!line.problem.empty()) return {misuse(helper, line.problem), {}};
    return {helper == Helper::mount ? parse_mount(line) : parse_umount(line), line.mount_namespace};
}

int run_helper(Helper helper, const std::vector<std::string>& arguments, Console& console) try {
    const auto call = parse_helper_line(helper, arguments);
    if (const auto* wrong = std::get_if<UsageError>(&call.command)) {
        console.complain(wrong->text);
        return kInvocation;
    }
    if (const int code = enter(call.mount_namespace); code != 0) {
        console.complain(fmt::format(
            "{}: the mount namespace {} cannot be entered ({})",
            name_of(helper),
            printable(call.mount_namespace),
            describe_errno(code)
        ));
        return code == EPERM || code == EACCES ? kInvocation : kSystem;
    }
    // The keeper sees that nobody waits any more and undoes everything.
    ::signal(SIGINT, [](int) { ::_exit(kInterrupted); });
    if (const auto* umount = std::get_if<UmountArguments>(&call.command)) {
        return exit_code(run_umount(*umount, console));
    }
    const auto& mount = std::get<HelperMount>(call.command);
    if (mount.doing == HelperMount::Doing::fake) return check_only(mount.arguments, console);
    return exit_code(run_mount(mount.arguments, console));
} catch (const std::exception& error) {
    console.complain(fmt::format("{}: internal error: {}", name_of(helper), error.what()));
    return kDefect;
}

}  // namespace uidnfs::app
