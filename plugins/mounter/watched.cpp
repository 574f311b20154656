// SPDX-License-Identifier: Apache-2.0
#include "plugins/mounter/watched.hpp"

#include "control/mountinfo.hpp"
#include "control/socket.hpp"
#include "core/text.hpp"

#include <sys/mount.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>

namespace uidnfs::plugins::mounter {

core::Result<std::uint64_t> start_time_of(std::uint32_t pid) {
    constexpr int kFieldsBehindName = 20;  // field 22; the name is field 2, and may hold anything
    const auto text = core::read_whole("/proc/" + std::to_string(pid) + "/stat");
    if (!text) return core::Error(ESRCH);
    auto at = text->rfind(')');
    for (int i = 0; i < kFieldsBehindName && at != std::string::npos; ++i) {
        at = text->find(' ', at + 1);
    }
    if (at == std::string::npos) return core::Error(ESRCH);
    std::uint64_t ticks = 0;
    const auto* first = text->data() + at + 1;
    const auto [stop, error] = std::from_chars(first, text->data() + text->size(), ticks);
    if (error != std::errc() || stop == first) return core::Error(ESRCH);
    return ticks;
}

std::vector<std::string> arguments_of(std::uint32_t pid) {
    std::vector<std::string> arguments;
    const auto text = core::read_whole("/proc/" + std::to_string(pid) + "/cmdline");
    std::string_view rest = text ? std::string_view(*text) : std::string_view();
    while (!rest.empty()) {
        const auto word = rest.substr(0, rest.find('\0'));
        arguments.emplace_back(word);
        rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    }
    return arguments;
}

core::Result<std::shared_ptr<Watched>> watch_keeper(
    std::string directory, const std::string& path, std::uint32_t minor
) {
    auto channel =
        control::send_to_keeper({minor, 0}, control::Message("watch"), control::Connect::at_once);
    if (!channel) return core::Error(channel.error().code() == EAGAIN ? EAGAIN : ESRCH);
    const auto pid = control::peer_of(*channel);
    if (!pid || *pid <= 0) return core::Error(ESRCH);
    const auto keeper = static_cast<std::uint32_t>(*pid);
    // A number that was used again meanwhile belongs to nobody who listens here.
    const auto start_time = start_time_of(keeper);
    if (!start_time) return core::Error(ESRCH);
    // Root's other mounts, from fstab or by hand, are none of the front's business.
    const auto arguments = arguments_of(keeper);
    constexpr std::size_t kOfKeeper = 4;  // uidnfs keeper SOURCE MOUNTPOINT
    if (arguments.size() != kOfKeeper || arguments[1] != "keeper" || arguments[3] != path) {
        return core::Error(EPERM);
    }
    return std::shared_ptr<Watched>(new Watched{
        std::move(directory),
        minor,
        {keeper, *start_time},
        std::move(*channel),
    });
}

std::optional<std::uint32_t> minor_at(const std::string& path) {
    const auto mounts = control::read_mountinfo();
    const auto* top = mounts ? control::find_by_path(*mounts, path) : nullptr;
    if (!top || !control::is_ours(*top)) return std::nullopt;
    return top->minor;
}

void detach_all(const std::string& path) {
    constexpr int kMost = 16;  // stacked on one path
    for (int i = 0; i < kMost && minor_at(path); ++i) {
        if (::umount2(path.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) != 0) return;
    }
}

}  // namespace uidnfs::plugins::mounter
