// SPDX-License-Identifier: Apache-2.0
// `uidnfs status`: one answer per mount within a second, whatever its worker or server does.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include "app/commands.hpp"
#include "app/control.hpp"
#include "app/mountinfo.hpp"
#include "app/mountpoint.hpp"
#include "app/status_report.hpp"
#include "app/text.hpp"

namespace uidnfs::app {
namespace {

constexpr std::chrono::milliseconds kLimit{900};

std::string why_no_answer(int code) {
    switch (code) {
        case ENOENT:
        case ECONNREFUSED: return "its keeper process is gone";
        case EACCES:
        case EPERM: return "only root may ask it";
        case ETIMEDOUT:
        case EAGAIN: return "its keeper process does not answer";
        default: return fmt::format("its keeper cannot be asked ({})", describe_errno(code));
    }
}

boost::json::object ask(const MountEntry& entry) {
    auto unknown = describe_unknown(entry.mountpoint, entry.source);
    const auto deadline = std::chrono::steady_clock::now() + kLimit;
    const auto reply = ask_keeper(entry.minor, Message("status"), deadline);
    if (!reply) {
        const bool silent = reply.error().code() == ETIMEDOUT || reply.error().code() == EAGAIN;
        set_health(
            unknown, {silent ? State::stale : State::failed, why_no_answer(reply.error().code())}
        );
        return unknown;
    }
    boost::system::error_code error;
    auto status = boost::json::parse(std::string(reply->text("json")), error);
    if (reply->verb() != "ok" || error || !status.is_object()) {
        set_health(unknown, {State::failed, "its keeper answered what is not understood"});
        return unknown;
    }
    auto& object = status.get_object();
    // Whoever was handed an open device does not know where it is mounted.
    const auto* told = object.if_contains("mountpoint");
    if (!told || !told->is_string() || inherited_device(std::string(told->get_string()))) {
        object["mountpoint"] = entry.mountpoint;
    }
    return std::move(object);
}

/// Each mount of ours once, also when parts of it are bound elsewhere.
std::vector<MountEntry> all_mounts(const std::vector<MountEntry>& mounts) {
    std::vector<MountEntry> found;
    for (const auto& entry : mounts) {
        const bool known = std::any_of(found.begin(), found.end(), [&](const MountEntry& other) {
            return other.minor == entry.minor;
        });
        if (is_ours(entry) && !known) found.push_back(entry);
    }
    return found;
}

int complain(Console& console, const std::string& what, const std::string& why) {
    console.complain(fmt::format("cannot tell the status of {}: {}", printable(what), why));
    return kExitFailed;
}

}  // namespace

int run_status(const StatusArguments& arguments, Console& console) {
    const auto mounts = read_mountinfo();
    if (!mounts) {
        return complain(console, "mounts", "/proc does not tell what is mounted; mount /proc here");
    }
    std::vector<MountEntry> chosen;
    if (arguments.mountpoint) {
        const auto path = canonical_mountpoint(*arguments.mountpoint);
        if (!path) {
            return complain(
                console,
                *arguments.mountpoint,
                describe_errno(path.error().code()) + "; check the path"
            );
        }
        const auto* entry = find_by_path(*mounts, *path);
        if (!entry || !is_ours(*entry)) {
            return complain(
                console, *arguments.mountpoint, "it is not a mount of uidnfs; see uidnfs status"
            );
        }
        chosen.push_back(*entry);
    } else {
        chosen = all_mounts(*mounts);
    }
    int exit_status = kExitDone;
    const bool human = arguments.format == StatusArguments::Format::human;
    if (chosen.empty() && human) console.print("no mounts of uidnfs\n");
    for (const auto& entry : chosen) {
        const auto status = ask(entry);
        if (!is_healthy(status)) exit_status = kExitFailed;
        console.print(human ? render_status(status) : boost::json::serialize(status) + '\n');
    }
    return exit_status;
}

}  // namespace uidnfs::app
