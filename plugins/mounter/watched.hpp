// SPDX-License-Identifier: Apache-2.0
// Watched: a keeper that the mounter started or found again, proved by the kernel's word about who
// listens on its control socket, and the channel on which it says how it ended.
#pragma once

#include "control/channel.hpp"
#include "core/error.hpp"
#include "plugins/core/live_record.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::plugins::mounter {

struct Watched {
    std::string directory;
    std::uint32_t minor = 0;  ///< of the mount's device
    WorkerId keeper = {};
    control::Channel channel;
    std::optional<Ended> end = {};                        ///< once it has ended
    std::string connections = {};                         ///< the keeper's last word of them, JSON
    std::uint64_t write_behind_limit = 0;                 ///< as it was told; 0: not by us
    enum class Stop { none, running } stop = Stop::none;  ///< whoever stops it tells the end
};

/// Connects to the keeper of the mount with this device. ESRCH: there is none, or it is not root's;
/// EPERM: it keeps another mount than that at `path`, which is `directory` below mounts.root;
/// EAGAIN: it lives and accepts nobody.
core::Result<std::shared_ptr<Watched>> watch_keeper(
    std::string directory, const std::string& path, std::uint32_t minor
);

/// The arguments of a process, from /proc/PID/cmdline. A keeper of root says there what it mounted
/// where, and nobody but root could change it. Empty: there is no such process.
std::vector<std::string> arguments_of(std::uint32_t pid);

/// Field 22 of /proc/PID/stat (proc(5)). ESRCH: there is no such process.
core::Result<std::uint64_t> start_time_of(std::uint32_t pid);

/// Minor number of the mount of ours that lies on top at `path`; nothing when there is none.
std::optional<std::uint32_t> minor_at(const std::string& path);

/// Takes every mount of ours at `path` out of this namespace, whatever uses it.
void detach_all(const std::string& path);

}  // namespace uidnfs::plugins::mounter
