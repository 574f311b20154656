// SPDX-License-Identifier: Apache-2.0
// `uidnfs umount`: asks the keeper to bring everything to the server, unmounts here, and hears how
// it ended. Finds the mount through mountinfo; the mount itself is never touched.
#include "app/commands.hpp"
#include "app/fusermount.hpp"
#include "app/mountpoint.hpp"
#include "app/names.hpp"
#include "app/unattached.hpp"
#include "core/clock.hpp"

#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

namespace uidnfs::app {
namespace {

using How = UmountArguments::How;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// For the keeper's own bookkeeping, beyond the deadline that it was given.
constexpr seconds kMargin{5};
/// By force: for a server that answers. What it does not take by then is given up.
constexpr seconds kByForce{2};
/// Where the mount's own deadline counts, which is not known here.
constexpr seconds kLongest{86'400};

using core::now;

class Umount {
public:
    Umount(const UmountArguments& arguments, Console& console)
        : arguments_(arguments), console_(console) {}

    int run() {
        if (!find()) return kExitFailed;
        if (place_ == Place::nowhere) return end_without_mount();
        switch (arguments_.how) {
            case How::orderly: return orderly();
            case How::lazy: return unmount(MNT_DETACH) ? kExitDone : kExitFailed;
            case How::force: return force();
        }
        return kExitFailed;
    }

private:
    bool find() {
        const auto path = canonical_mountpoint(arguments_.mountpoint);
        if (!path) return fail(describe_errno(path.error().code()) + "; check the path");
        const auto mounts = read_mountinfo();
        if (!mounts) return fail("/proc does not tell what is mounted; mount /proc here");
        const auto* entry = find_by_path(*mounts, *path);
        if (!(entry && is_ours(*entry)) && find_keeper(*mounts, *path)) return true;
        if (!entry) return fail("it is not a mount point; see uidnfs status");
        if (!is_ours(*entry)) {
            return fail(fmt::format(
                "it is a mount of type {}, not of uidnfs; use umount(8)", printable(entry->type)
            ));
        }
        entry_ = *entry;
        return true;
    }

    bool find_keeper(const std::vector<MountEntry>& mounts, const std::string& path) {
        const auto found = find_unattached(mounts, path);
        if (!found) return false;
        entry_.mountpoint = path;
        entry_.minor = found->keeper.minor;
        entry_.owner = found->keeper.owner;
        place_ = Place::nowhere;
        phase_ = found->phase;
        return true;
    }

    int end_without_mount() {
        if (phase_ == "starting" || arguments_.how == How::force) return force();
        if (arguments_.how == How::lazy) return kExitDone;  // that is what it is already
        const seconds limit(arguments_.flush_deadline_seconds.value_or(kLongest.count()));
        const auto reply =
            ask_keeper({entry_.minor, entry_.owner}, Message("finish"), now() + limit);
        if (reply && reply->verb() == "serving") {
            fail(
                "it was detached and programs still use it; end them (uidnfs status shows it), or "
                "use --force to give up what they write"
            );
            return kExitFailed;
        }
        if (reply && reply->verb() == "lost") {
            tell_lost(*reply, "lost");
            return kExitFailed;
        }
        if (!reply && reply.error().code() == ETIMEDOUT) {
            fail("the server did not take all bytes in time; use --force to give them up");
            return kExitFailed;
        }
        return kExitDone;
    }

    int orderly() {
        // How long it may take is the mount's own affair; whether anybody answers is not.
        if (!keeper_lives()) return kExitFailed;
        Message request("drain");
        auto limit = kLongest + kMargin;
        if (arguments_.flush_deadline_seconds) {
            const seconds deadline(*arguments_.flush_deadline_seconds);
            request.add("milliseconds", static_cast<std::uint64_t>(milliseconds(deadline).count()));
            limit = deadline + kMargin;
        }
        auto reply = ask_keeper({entry_.minor, entry_.owner}, request, now() + limit);
        // Without a keeper the worker brings the rest away once it is unmounted.
        const bool has_keeper = reply.has_value();
        if (has_keeper && reply->verb() == "lost") {
            fail(
                "the server did not take all bytes in time, it stays mounted; wait for the server, "
                "or use --force to give them up"
            );
            tell_lost(*reply, "not yet written");
            return kExitFailed;
        }
        if (has_keeper && reply->verb() == "error") {
            fail(fmt::format(
                "{}; use --force to give up what it did not write", printable(reply->text("text"))
            ));
            return kExitFailed;
        }
        if (!unmount(0)) return kExitFailed;
        if (!has_keeper || is_bound_elsewhere()) return kExitDone;
        // "serving": it goes on in another mount namespace.
        reply = ask_keeper({entry_.minor, entry_.owner}, Message("finish"), now() + limit);
        if (reply && reply->verb() == "lost") {
            tell_lost(*reply, "lost");
            return kExitFailed;
        }
        return kExitDone;
    }

    bool keeper_lives() {
        const auto reply =
            ask_keeper({entry_.minor, entry_.owner}, Message("status"), now() + seconds(1));
        if (reply) return true;
        switch (reply.error().code()) {
            case EACCES:
            case EPERM: return fail("only root may unmount it; run as root");
            case ETIMEDOUT:
            case EAGAIN:
                return fail("its keeper does not answer; use --force, or --lazy to detach it");
            default: return true;  // there is none
        }
    }

    int force() {
        const milliseconds deadline =
            seconds(arguments_.flush_deadline_seconds.value_or(kByForce.count()));
        Message request("stop");
        request.add("milliseconds", static_cast<std::uint64_t>(deadline.count()));
        const auto reply =
            ask_keeper({entry_.minor, entry_.owner}, request, now() + deadline + kMargin + kMargin);
        int status = kExitDone;
        const bool is_anothers =
            !reply && (reply.error().code() == EACCES || reply.error().code() == EPERM);
        if (is_anothers && is_still_mounted() && !unmount(MNT_DETACH)) return kExitFailed;
        if (!reply) {
            console_.complain(fmt::format(
                "{}: its keeper {}",
                printable(entry_.mountpoint),
                is_anothers ? "is another's and was not asked; what becomes of what was not yet "
                              "written is in its log"
                            : "does not answer; what was not yet written may be lost"
            ));
            status = kExitFailed;
        } else if (reply->verb() == "lost") {
            tell_lost(*reply, "lost");
            status = kExitFailed;
        }
        // The keeper may live in another mount namespace.
        if (is_still_mounted() && !unmount(MNT_DETACH)) status = kExitFailed;
        return status;
    }

    bool unmount(int flags) {
        const int reason =
            ::umount2(entry_.mountpoint.c_str(), UMOUNT_NOFOLLOW | flags) == 0 ? 0 : errno;
        if (reason == 0) return true;
        // Users unmount what they mounted.
        if (reason == EPERM && ::geteuid() != 0) return unmount_as_user(flags);
        return unmount_failed(reason);
    }

    bool unmount_as_user(int flags) {
        const auto how =
            flags & MNT_DETACH ? FusermountDetach::lazily : FusermountDetach::if_unused;
        const auto done = fusermount_unmount(entry_.mountpoint, how);
        return done || unmount_failed(done.error().code());
    }

    bool unmount_failed(int reason) {
        if (reason == EBUSY) {
            if (const auto below = mounted_below(); !below.empty()) {
                return fail(fmt::format(
                    "{} is mounted below it; unmount that first, or use --lazy to detach both now",
                    printable(below)
                ));
            }
            return fail(
                "it is busy; end the programs that use it (fuser -vm shows them), or use --lazy to "
                "detach it now"
            );
        }
        if (reason == EINVAL && is_still_mounted()) {
            // mount_namespaces(7): what came from a more privileged namespace stays together.
            return fail(
                "it is locked: it was mounted outside of this user namespace; unmount it there"
            );
        }
        if (reason == EINVAL) return fail("it is no mount point any more; see uidnfs status");
        if (reason == EPERM) {
            return fail(only_owners_may(" unmount it"));
        }
        return fail(describe_errno(reason));
    }

    bool is_still_mounted() const {
        const auto mounts = read_mountinfo();
        const auto* top = mounts ? find_by_path(*mounts, entry_.mountpoint) : nullptr;
        return top && top->id == entry_.id;
    }

    /// What lies on ours and has nothing on it itself; empty: nothing does.
    std::string mounted_below() const {
        const auto mounts = read_mountinfo();
        if (!mounts) return {};
        std::string below;
        for (auto id = entry_.id;;) {
            const auto child =
                std::find_if(mounts->begin(), mounts->end(), [id](const auto& entry) {
                    return entry.parent == id && entry.id != id;
                });
            if (child == mounts->end()) return below;
            id = child->id;
            below = child->mountpoint;
        }
    }

    bool is_bound_elsewhere() const {
        const auto mounts = read_mountinfo();
        return mounts && !find_by_minor(*mounts, entry_.minor).empty();
    }

    bool fail(const std::string& why) {
        console_.complain(
            fmt::format("cannot unmount {}: {}", printable(arguments_.mountpoint), why)
        );
        return false;
    }

    void tell_lost(const Message& reply, std::string_view what) {
        for (const auto& range : reply.all("lost")) {
            console_.complain(fmt::format("{}: {}", what, printable(range)));
        }
        if (const auto kept = reply.text("kept"); !kept.empty()) {
            console_.complain(fmt::format(
                "it is kept; once the server is back: uidnfs recover {}", printable(kept)
            ));
        }
    }

    const UmountArguments& arguments_;
    Console& console_;
    MountEntry entry_;
    enum class Place : std::uint8_t { mounted, nowhere } place_ = Place::mounted;
    std::string phase_;  ///< of the keeper's, nowhere: "starting", "serving", "ending"
};

}  // namespace

int run_umount(const UmountArguments& arguments, Console& console) {
    return Umount(arguments, console).run();
}

}  // namespace uidnfs::app
