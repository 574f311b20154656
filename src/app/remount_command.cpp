// SPDX-License-Identifier: Apache-2.0
// `mount -o remount`: the kernel's part of it here, the client's through the keeper. Nothing is
// changed unless all of it can be.
#include "app/commands.hpp"
#include "app/mountpoint.hpp"
#include "app/names.hpp"
#include "app/remount.hpp"

#include <fmt/format.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kLimit{10};

class RemountCommand {
public:
    RemountCommand(const MountArguments& arguments, Console& console)
        : arguments_(arguments), console_(console) {}

    int run() {
        if (!find()) return kExitFailed;
        const auto plan = ask("check");
        if (!plan) return status_;
        const auto before = flags_of(entry_);
        const auto wanted = wanted_flags(*plan, before);
        // Files that are open for writing keep it from becoming read-only: the kernel knows them.
        const bool is_first = (wanted & MS_RDONLY) != 0;
        if (is_first && !tell_kernel(before, wanted)) return kExitFailed;
        if (!ask("change")) {
            if (is_first) tell_kernel(wanted, before);
            return status_;
        }
        if (!is_first && !tell_kernel(before, wanted)) return kExitFailed;
        return kExitDone;
    }

private:
    bool find() {
        const auto path = canonical_mountpoint(arguments_.mountpoint);
        if (!path) return fail(describe_errno(path.error().code()) + "; check the path");
        const auto mounts = read_mountinfo();
        if (!mounts) return fail("/proc does not tell what is mounted; mount /proc here");
        const auto* entry = find_by_path(*mounts, *path);
        if (!entry || !is_ours(*entry)) {
            return fail("it is not a mount of uidnfs; mount it first");
        }
        entry_ = *entry;
        return true;
    }

    std::optional<Message> ask(const char* step) {
        Message request("remount");
        request.add("step", step).add("source", arguments_.source);
        const auto until = std::chrono::steady_clock::now() + kLimit;
        // A keeper that hangs until nobody waits for it any more must not change anything then.
        const auto since_boot = std::chrono::floor<milliseconds>(until.time_since_epoch());
        request.add("until", static_cast<std::uint64_t>(since_boot.count()));
        for (const auto& option : remount_options(arguments_.options)) {
            request.add("option", write_option(option));
        }
        auto reply = ask_keeper({entry_.minor, entry_.owner}, request, until);
        if (!reply) {
            const int code = reply.error().code();
            const bool is_denied = code == EACCES || code == EPERM;
            fail(
                is_denied ? only_owners_may(" change it")
                          : "its keeper does not answer; see uidnfs status"
            );
            return std::nullopt;
        }
        if (reply->verb() == "ok") return std::move(*reply);
        if (reply->text("kind") == "usage") status_ = kExitUsage;
        fail(std::string(reply->text("text")));
        return std::nullopt;
    }

    /// Those that the command line speaks of; others may be somebody else's (remount,bind).
    unsigned long wanted_flags(const Message& plan, unsigned long before) const {
        struct Flag {
            const char* in_plan;
            unsigned long value;
            std::array<std::string_view, 2> words;
        };
        static constexpr Flag kFlags[] = {
            {"read_only", MS_RDONLY, {"ro", "rw"}},
            {"noexec", MS_NOEXEC, {"exec", "noexec"}},
            {"noatime", MS_NOATIME, {"atime", "noatime"}},
        };
        auto wanted = before;
        for (const auto& flag : kFlags) {
            const auto& options = arguments_.options;
            const bool is_named = std::any_of(options.begin(), options.end(), [&](const auto& one) {
                const auto& words = flag.words;
                return std::find(words.begin(), words.end(), one.name) != words.end();
            });
            if (!is_named) continue;
            wanted = plan.text(flag.in_plan) == "on" ? wanted | flag.value : wanted & ~flag.value;
        }
        return wanted;
    }

    /// As the kernel has them, which is not what the keeper knows where a change of it failed.
    static unsigned long flags_of(const MountEntry& entry) {
        unsigned long flags = 0;
        std::string_view rest = entry.flags;
        while (!rest.empty()) {
            const auto word = rest.substr(0, rest.find(','));
            rest.remove_prefix(std::min(word.size() + 1, rest.size()));
            if (word == "ro") flags |= MS_RDONLY;
            if (word == "noexec") flags |= MS_NOEXEC;
            if (word == "noatime") flags |= MS_NOATIME;
            // Set by mount(8) on what is mounted (remount,bind): it stays.
            if (word == "nosymfollow") flags |= MS_NOSYMFOLLOW;
        }
        return flags;
    }

    /// All flags at once: what mount(2) is not told again is taken away.
    bool tell_kernel(unsigned long before, unsigned long wanted) {
        if (before == wanted) return true;
        auto flags = MS_REMOUNT | MS_NOSUID | MS_NODEV | wanted;
        // Without a word of it, it stays as it is.
        if ((wanted & MS_NOATIME) == 0) flags |= MS_RELATIME;
        const char* path = entry_.mountpoint.c_str();
        if (::mount(nullptr, path, nullptr, flags, nullptr) == 0) return true;
        if (errno == EBUSY) {
            return fail(
                "files are open for writing; end the programs that use them (fuser -vm shows them)"
            );
        }
        if (errno == EPERM) return fail("only root may change its flags; run as root");
        return fail(fmt::format("the kernel refused it ({})", describe_errno(errno)));
    }

    bool fail(const std::string& why) {
        console_.complain(
            fmt::format("cannot remount {}: {}", printable(arguments_.mountpoint), printable(why))
        );
        return false;
    }

    const MountArguments& arguments_;
    Console& console_;
    MountEntry entry_;
    int status_ = kExitFailed;
};

}  // namespace

int run_remount(const MountArguments& arguments, Console& console) {
    return RemountCommand(arguments, console).run();
}

}  // namespace uidnfs::app
