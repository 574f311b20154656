// SPDX-License-Identifier: Apache-2.0
// How a mount ends: in order, with its bytes on the server; or, where server or worker do not
// answer in time, detached, with the loss told. Nothing here waits for either of them.
#include "app/fuse_mount.hpp"
#include "app/fusermount.hpp"
#include "app/keeper.hpp"
#include "app/mountpoint.hpp"
#include "app/names.hpp"
#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/service_manager.hpp"

#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;
namespace log = core::log;

using core::now;

std::uint64_t in_milliseconds(core::SteadyDuration duration) {
    const auto count = std::chrono::duration_cast<milliseconds>(duration).count();
    return static_cast<std::uint64_t>(std::max<milliseconds::rep>(count, 0));
}

}  // namespace

void Keeper::begin_stop(core::SteadyDuration limit) {
    log::info("stopping: bytes not yet written have {} ms", in_milliseconds(limit));
    core::notify_service_manager("STOPPING=1");
    phase_ = Phase::draining;
    deadline_ = now() + limit + kGrace;
    tell_worker(Message("drain").add("id", 0).add("milliseconds", in_milliseconds(limit)));
}

void Keeper::unmount_after_drain(const std::vector<std::string>& lost) {
    const auto turn = turn_to_unmount();
    // First the worker, which lets go of readers: a page that one of them holds could have the
    // unmount wait for the server. The ranges come again with "ended", unless the server took them
    // meanwhile.
    begin_ending(lost.empty() ? flush_deadline() : milliseconds(0));
    unmount(lost.empty() ? Detach::if_unused : Detach::lazily);
}

void Keeper::begin_ending(core::SteadyDuration limit) {
    phase_ = Phase::ending;
    deadline_ = now() + limit + kGrace;
    tell_worker(Message("stop").add("milliseconds", in_milliseconds(limit)));
}

void Keeper::give_up(const std::string& why) {
    log::error("{}; the mount is detached", why);
    given_up_ = why;
    if (worker_) worker_->kill();
    {
        const auto turn = turn_to_unmount();
        // First the device: without a server for it, unmounting cannot wait for one.
        release_device();
        unmount(Detach::lazily);
    }
    finish();
}

void Keeper::finish() {
    save_unwritten();
    forget_connections();
    phase_ = Phase::over;
    exit_status_ = lost_.empty() ? 0 : 1;
    hang_watch_.end();
    control_.reset();
    for (auto& client : clients_) answer_end(client);
    log::info("ended, exit status {}", exit_status_);
}

bool Keeper::is_unmounted() const {
    if (!descriptors_.fuse || !is_session_over(descriptors_.fuse.get())) return false;
    // Its connection may have been aborted: then it is there, and nobody has come after us.
    if (!minor_ || !control_ || !control_->has_its_path()) return true;
    const auto mounts = read_mountinfo();
    if (!mounts) return true;
    const auto there = find_by_minor(*mounts, *minor_);
    const auto& options = request_.options;
    const auto owner = options.access == mapper::Access::strict ? options.app_uid : ::geteuid();
    return std::none_of(there.begin(), there.end(), [owner](const MountEntry& entry) {
        return entry.owner == owner;
    });
}

/// fusermount3 unmounts by place, and what is there may be the next mount, of the same user and
/// with the same number: in a turn it has its control socket, or is not there yet.
core::Fd Keeper::turn_to_unmount() const {
    return spec_.way == Way::fusermount ? take_turn() : core::Fd();
}

void Keeper::unmount(Detach how) {
    if (!minor_ || is_unmounted()) return;
    const auto mounts = read_mountinfo();
    if (!mounts) return;
    auto ours = find_by_minor(*mounts, *minor_);
    std::reverse(ours.begin(), ours.end());
    for (const auto& entry : ours) {
        const auto* top = find_by_path(*mounts, entry.mountpoint);
        if (top && top->id != entry.id) {
            log::warning("{} stays: something else is mounted over it", entry.mountpoint);
            continue;
        }
        if (how == Detach::if_unused) {
            const int reason = unmount_one(entry.mountpoint, how);
            if (reason == 0) continue;
            if (reason == EBUSY) log::warning("{} is in use and was detached", entry.mountpoint);
        }
        const int reason = unmount_one(entry.mountpoint, Detach::lazily);
        if (reason != 0 && reason != EINVAL) {
            log::error("{} cannot be unmounted: {}", entry.mountpoint, describe_errno(reason));
        }
    }
}

/// 0 or an errno.
int Keeper::unmount_one(const std::string& path, Detach how) {
    if (spec_.way == Way::fusermount) {
        const auto detach =
            how == Detach::lazily ? FusermountDetach::lazily : FusermountDetach::if_unused;
        const auto done = fusermount_unmount(path, detach);
        return done ? 0 : done.error().code();
    }
    const int flags = how == Detach::lazily ? UMOUNT_NOFOLLOW | MNT_DETACH : UMOUNT_NOFOLLOW;
    return ::umount2(path.c_str(), flags) == 0 ? 0 : errno;
}

void Keeper::release_device() {
    if (is_unmounted()) minor_.reset();
    descriptors_.fuse.reset();
    // As long as anybody has it, who waits for the mount waits on.
    for (const auto& client : clients_) {
        if (client.holds) static_cast<void>(client.channel.send(Message("released")));
    }
}

void Keeper::note_lost(const std::vector<std::string>& lost) {
    for (const auto& range : lost) {
        log::error("lost: {}", range);
        lost_.push_back(range);
    }
}

}  // namespace uidnfs::app
