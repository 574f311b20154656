// SPDX-License-Identifier: Apache-2.0
// `uidnfs status`: one answer per mount within a second, whatever its worker or server does; with
// hundreds of mounts, within a second of when it is asked.
#include "app/commands.hpp"
#include "app/inquiry.hpp"
#include "app/mountpoint.hpp"
#include "app/names.hpp"
#include "app/orphan.hpp"
#include "app/status_report.hpp"
#include "core/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::app {
namespace {

/// The keeper itself waits 500 ms for its worker.
constexpr std::chrono::milliseconds kLimit{750};
constexpr std::size_t kAtOnce = 64;

bool is_gone(const core::Error& keeper) {
    return keeper.code() == ENOENT || keeper.code() == ECONNREFUSED || keeper.code() == EPIPE;
}

Health health_without_answer(int code) {
    switch (code) {
        case EACCES:
        case EPERM: return {State::unknown, "only root may ask it"};
        case ETIMEDOUT:
        case EAGAIN: return {State::stale, "its keeper process does not answer"};
        default:
            return {
                State::stale,
                fmt::format("its keeper cannot be asked ({})", describe_errno(code))};
    }
}

/// A mount that was asked, or a keeper without one.
struct Question {
    MountEntry entry;
    enum class Of : std::uint8_t { mount, keeper } of;
};

std::vector<Asked> ask(const std::vector<Question>& questions) {
    // What is mounted is seen here: thousands of keepers need not read the table for it, which is
    // thousands of lines long.
    Message of_mount("status");
    of_mount.add("attached", "unneeded");
    const Message of_keeper("status");
    std::vector<Asked> asked;
    for (const auto& [entry, of] : questions) {
        asked.push_back({{entry.minor, entry.owner}});
        if (of == Question::Of::mount) asked.back().question = &of_mount;
    }
    ask_all(asked, {of_keeper, kLimit, kAtOnce});
    for (auto& one : asked) one.question = nullptr;  // it ends here
    return asked;
}

/// Whether the mount is where its keeper says: not after a move, of it or of what is above it, nor
/// where its keeper has other mounts or was handed an open device.
bool is_there(
    const std::vector<MountEntry>& mounts, const Question& question, std::string_view told
) {
    if (question.of == Question::Of::keeper) return true;  // nobody knows better
    return std::any_of(mounts.begin(), mounts.end(), [&](const MountEntry& entry) {
        return entry.minor == question.entry.minor && entry.mountpoint == told;
    });
}

/// Nothing for a socket that nobody listens on any more.
std::optional<boost::json::object> status_from(
    const Question& question,
    const std::vector<MountEntry>& mounts,
    const core::Result<Message>& reply,
    core::SteadyTime deadline
) {
    const auto& entry = question.entry;
    auto unknown = describe_unknown(entry.mountpoint, entry.source);
    if (!reply) {
        if (question.of == Question::Of::keeper) return std::nullopt;
        if (is_gone(reply.error())) return status_of_orphan(entry, deadline);
        set_health(unknown, health_without_answer(reply.error().code()));
        return unknown;
    }
    auto status = parse_status(reply->text("json"));
    if (reply->verb() != "ok" || !status) {
        set_health(unknown, {State::failed, "its keeper answered what is not understood"});
        return unknown;
    }
    auto& object = *status;
    const auto* told = object.if_contains("mountpoint");
    const bool is_told = told && told->is_string() &&
                         is_there(mounts, question, std::string_view(told->get_string()));
    if (!is_told) object["mountpoint"] = entry.mountpoint;
    if (reply->text("attached") == "no" && is_healthy(object)) {
        set_health(
            object, {State::degraded, "detached from its mount point, programs still use it"}
        );
    }
    return std::move(object);
}

bool is_at(const boost::json::object& status, std::string_view path) {
    const auto* told = status.if_contains("mountpoint");
    return told && told->is_string() && std::string_view(told->get_string()) == path;
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

/// Those that try to make their mount, or have lost it; or serve it where we cannot see it.
std::vector<Address> keepers_without(const std::vector<MountEntry>& mounts) {
    auto keepers = all_keepers();
    std::erase_if(keepers, [&](const Address& keeper) {
        return std::any_of(mounts.begin(), mounts.end(), [&](const MountEntry& entry) {
            return entry.minor == keeper.minor;
        });
    });
    return keepers;
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
    std::vector<MountEntry> chosen = all_mounts(*mounts);
    std::string path;
    if (arguments.mountpoint) {
        const auto canonical = canonical_mountpoint(*arguments.mountpoint);
        if (!canonical) {
            return complain(
                console,
                *arguments.mountpoint,
                describe_errno(canonical.error().code()) + "; check the path"
            );
        }
        path = *canonical;
    }
    std::vector<Question> questions;
    const auto* there = arguments.mountpoint ? find_by_path(*mounts, path) : nullptr;
    if (there && is_ours(*there)) {
        questions.push_back({*there, Question::Of::mount});
    } else {
        if (!arguments.mountpoint) {
            for (const auto& entry : chosen) questions.push_back({entry, Question::Of::mount});
        }
        for (const auto& keeper : keepers_without(chosen)) {
            MountEntry entry;
            entry.minor = keeper.minor;
            entry.owner = keeper.owner;
            questions.push_back({std::move(entry), Question::Of::keeper});
        }
    }
    int exit_status = kExitDone;
    std::size_t told = 0;
    const bool human = arguments.format == StatusArguments::Format::human;
    const auto asked = ask(questions);
    // Of all whose keepers are gone: their workers are asked one after the other.
    const auto deadline = std::chrono::steady_clock::now() + kLimit;
    for (std::size_t i = 0; i < questions.size(); ++i) {
        const auto& question = questions[i];
        const auto status = status_from(question, *mounts, asked[i].answer, deadline);
        if (!status) continue;
        const bool is_wanted = !arguments.mountpoint || question.of == Question::Of::mount;
        if (!is_wanted && !is_at(*status, path)) continue;
        ++told;
        if (!is_healthy(*status)) exit_status = kExitFailed;
        console.print(
            human ? render_status(*status)
                  : core::with_valid_utf8(boost::json::serialize(*status)) + '\n'
        );
    }
    if (told > 0) return exit_status;
    if (arguments.mountpoint) {
        return complain(
            console, *arguments.mountpoint, "it is not a mount of uidnfs; see uidnfs status"
        );
    }
    if (human) console.print("no mounts of uidnfs\n");
    return exit_status;
}

}  // namespace uidnfs::app
