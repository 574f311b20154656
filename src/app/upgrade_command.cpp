// SPDX-License-Identifier: Apache-2.0
// `uidnfs upgrade`: this program goes on with mounts that another version of it serves. Their
// keepers are handed the executable itself, for its path may be another one's soon.
#include "app/commands.hpp"
#include "app/inquiry.hpp"
#include "app/mountpoint.hpp"
#include "app/names.hpp"
#include "app/status_report.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace uidnfs::app {
namespace {

using std::chrono::seconds;

constexpr seconds kFlushDeadline{10};
/// For two starts of a program on a machine under load.
constexpr seconds kMargin{90};
constexpr seconds kStatusLimit{2};
/// Beside them the programs of the mounts go on. Those that wait for a server are not counted.
constexpr std::size_t kAtOnce = 2;
constexpr std::size_t kAskedAtOnce = 64;

class Upgrade {
public:
    Upgrade(const UpgradeArguments& arguments, Console& console)
        : console_(console),
          deadline_(arguments.flush_deadline_seconds.value_or(kFlushDeadline.count())),
          program_(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)) {}

    int one(const std::string& mountpoint) {
        const auto path = canonical_mountpoint(mountpoint);
        if (!path) {
            return fail(mountpoint, describe_errno(path.error().code()) + "; check the path");
        }
        const auto mounts = read_mountinfo();
        if (!mounts)
            return fail(mountpoint, "/proc does not tell what is mounted; mount /proc here");
        const auto* entry = find_by_path(*mounts, *path);
        if (!entry || !is_ours(*entry)) {
            return fail(mountpoint, "it is not a mount of uidnfs; see uidnfs status");
        }
        Asked keeper{{entry->minor, entry->owner}};
        return upgrade({&keeper, 1}, {&mountpoint, 1});
    }

    int all() {
        int status = kExitDone;
        std::vector<Asked> keepers;
        for (const auto& keeper : all_keepers()) keepers.push_back({keeper});
        Message question("status");
        question.add("attached", "unneeded");
        ask_all(keepers, {std::move(question), kStatusLimit, kAskedAtOnce});
        std::vector<std::string> names;
        std::vector<Asked> chosen;
        for (const auto& asked : keepers) {
            const auto& keeper = asked.keeper;
            const auto& reply = asked.answer;
            // A socket that was left by a keeper that was killed: of a mount that lives, or of
            // none.
            if (!reply && reply.error().code() == ECONNREFUSED) {
                if (const auto path = place_of(keeper)) {
                    status = fail(*path, why(ECONNREFUSED));
                }
                continue;
            }
            if (reply && reply->text("phase") == "ending") continue;
            const auto name = mountpoint_in(reply);
            names.push_back(name.empty() ? fmt::format("0:{}", keeper.minor) : name);
            chosen.push_back({keeper});
        }
        return upgrade(chosen, names) == kExitDone ? status : kExitFailed;
    }

private:
    /// Where the kernel has it.
    static std::optional<std::string> place_of(const Address& keeper) {
        const auto mounts = read_mountinfo();
        if (!mounts) return std::nullopt;
        const auto places = find_by_minor(*mounts, keeper.minor);
        if (places.empty() || !is_ours(places.front())) return std::nullopt;
        return places.front().mountpoint;
    }

    static std::string mountpoint_in(const core::Result<Message>& reply) {
        if (!reply) return {};
        const auto status = parse_status(reply->text("json"));
        return status ? std::string(word_in(*status, "mountpoint")) : std::string();
    }

    int upgrade(std::span<Asked> keepers, std::span<const std::string> names) {
        if (!program_ && !names.empty()) {
            return fail(names.front(), "this program cannot be opened (/proc/self/exe)");
        }
        Message request("upgrade");
        request.add("milliseconds", static_cast<std::uint64_t>(deadline_.count()) * 1000);
        const int program = program_.get();
        ask_all(keepers, {std::move(request), deadline_ + kMargin, kAtOnce, {&program, 1}});
        int status = kExitDone;
        for (std::size_t i = 0; i < keepers.size(); ++i) {
            const auto& reply = keepers[i].answer;
            if (!reply) {
                status = fail(names[i], why(reply.error().code()));
            } else if (reply->verb() != "ok") {
                status = fail(names[i], printable(reply->text("text")));
            }
        }
        return status;
    }

    static std::string why(int code) {
        switch (code) {
            case EACCES:
            case EPERM: return only_owners_may();
            case ENOENT:
            case ECONNREFUSED:
                return "its keeper process is gone; give it the next one with uidnfs adopt";
            default: return "its keeper does not answer; see uidnfs status";
        }
    }

    int fail(const std::string& name, const std::string& why) {
        console_.complain(fmt::format("cannot upgrade {}: {}", printable(name), why));
        return kExitFailed;
    }

    Console& console_;
    seconds deadline_;
    core::Fd program_;
};

}  // namespace

int run_upgrade(const UpgradeArguments& arguments, Console& console) {
    Upgrade upgrade(arguments, console);
    return arguments.mountpoint ? upgrade.one(*arguments.mountpoint) : upgrade.all();
}

}  // namespace uidnfs::app
