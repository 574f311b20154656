// SPDX-License-Identifier: Apache-2.0
#include "plugins/mounter/watched.hpp"

#include "control/mountinfo.hpp"
#include "control/process_facts.hpp"
#include "control/socket.hpp"

#include <sys/mount.h>

#include <cerrno>

namespace uidnfs::plugins::mounter {

core::Result<std::shared_ptr<Watched>> watch_keeper(
    std::string directory, const std::string& path, std::uint32_t minor
) {
    auto channel = control::send_to_keeper(
        {minor, 0}, control::Message("watch").add("state", "wanted"), control::Connect::at_once
    );
    if (!channel) return core::Error(channel.error().code() == EAGAIN ? EAGAIN : ESRCH);
    const auto pid = control::peer_of(*channel);
    if (!pid || *pid <= 0) return core::Error(ESRCH);
    const auto keeper = static_cast<std::uint32_t>(*pid);
    // A number that was used again meanwhile belongs to nobody who listens here.
    const auto start_time = control::start_time_of(keeper);
    if (!start_time) return core::Error(ESRCH);
    // Root's other mounts, from fstab or by hand, are none of the front's business.
    if (!control::has_role(keeper, "keeper", path)) return core::Error(EPERM);
    return std::shared_ptr<Watched>(new Watched{
        std::move(directory),
        minor,
        {keeper, *start_time},
        {keeper, *start_time},
        std::move(*channel),
    });
}

Reply describe(const Watched& watched) {
    return make_answer(watched.directory, watched.mount, watched.minor);
}

void tell_ended(Reply& reply, const Ended& ended) {
    reply.text.cut(ended.reason);
    std::string lost;
    for (const auto& range : ended.lost) lost += range + "\n";
    reply.lost.cut(lost);
}

void tell_ended(Reply& reply, const Watched& watched) {
    tell_ended(reply, *watched.end);
    reply.connections.set(watched.connections);
}

std::optional<std::uint32_t> minor_at(control::MountTable& mounts, const std::string& path) {
    const auto* const there = mounts.now();
    const auto* top = there ? control::find_by_path(*there, path) : nullptr;
    if (!top || !control::is_ours(*top)) return std::nullopt;
    return top->minor;
}

void detach_all(control::MountTable& mounts, const std::string& path) {
    constexpr int kMost = 16;  // stacked on one path
    for (int i = 0; i < kMost && minor_at(mounts, path); ++i) {
        if (::umount2(path.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) != 0) return;
    }
}

}  // namespace uidnfs::plugins::mounter
