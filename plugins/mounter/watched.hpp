// SPDX-License-Identifier: Apache-2.0
// Watched: a keeper that the mounter started or found again, proved by the kernel's word about who
// listens on its control socket, and the channel on which it says how it ended.
#pragma once

#include "control/channel.hpp"
#include "control/mount_table.hpp"
#include "core/error.hpp"
#include "plugins/core/live_record.hpp"
#include "plugins/mounter/keeper_pauses.hpp"
#include "plugins/mounter/protocol.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::plugins::mounter {

struct Watched {
    std::string directory;
    std::uint32_t minor = 0;  ///< of the mount's device
    WorkerId keeper = {};     ///< the process that keeps it now
    WorkerId mount = {};      ///< what the front knows it by: the keeper that made it
    control::Channel channel;  ///< while it is kept
    /// Device and memory of the mount, as its keeper gave them, for the next one; never looked at.
    std::optional<control::Channel::Received> held = {};
    std::optional<Ended> end = {};                        ///< once it has ended
    std::string connections = {};                         ///< the keeper's last word of them, JSON
    std::uint64_t write_behind_limit = 0;                 ///< as it was told; 0: not by us
    enum class Stop { none, running } stop = Stop::none;  ///< whoever stops it tells the end
    enum class Kept { yes, no } kept = Kept::yes;         ///< no: its keeper was killed
    KeeperPauses pauses = {};
};

/// What the front is told of it.
Reply describe(const Watched& watched);
void tell_ended(Reply& reply, const Ended& ended);
/// REQUIRES: it has ended.
void tell_ended(Reply& reply, const Watched& watched);

/// Connects to the keeper of the mount with this device. ESRCH: there is none, or it is not root's;
/// EPERM: it keeps another mount than that at `path`, which is `directory` below mounts.root;
/// EAGAIN: it lives and accepts nobody.
core::Result<std::shared_ptr<Watched>> watch_keeper(
    std::string directory, const std::string& path, std::uint32_t minor
);

/// Minor number of the mount of ours that lies on top at `path`; nothing when there is none.
std::optional<std::uint32_t> minor_at(control::MountTable& mounts, const std::string& path);

/// Takes every mount of ours at `path` out of this namespace, whatever uses it.
void detach_all(control::MountTable& mounts, const std::string& path);

}  // namespace uidnfs::plugins::mounter
