// SPDX-License-Identifier: Apache-2.0
// What is known of a mount while it lives: the worker behind it, whose it is, and how far it got.
// LiveRecord is what a daemon needs to find it again after kill -9. Plain data, never a password.
#pragma once

#include "config/mount_options.hpp"
#include "plugins/core/volume_key.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace uidnfs::plugins {

/// A process that is proved to be the same by its start time (field 22 of /proc/PID/stat).
struct WorkerId {
    std::uint32_t pid = 0;
    std::uint64_t start_time = 0;  ///< clock ticks since boot
    friend bool operator==(const WorkerId&, const WorkerId&) = default;
};

/// A mount that works, as the mounter made it.
struct Worker {
    WorkerId id;             ///< of the keeper that made it, though another may be in its place
    std::string mountpoint;  ///< absolute
    std::string control;     ///< path of its control socket
    std::string rule = {};   ///< of the policy, which allowed it: "rule 2 (team-a)"
    friend bool operator==(const Worker&, const Worker&) = default;
};

/// What an end meant for the data.
struct Ended {
    std::string reason = {};             ///< empty: as it was asked to
    std::vector<std::string> lost = {};  ///< "file, range" for bytes that were acknowledged
    friend bool operator==(const Ended&, const Ended&) = default;
};

/// Lost, of one whose end nobody saw.
inline constexpr const char* kUnseenEnd =
    "not known: it ended while the daemon was away; what it lost, if anything, is in its own log";

/// Who a mount is on the server, and who says so.
struct MountIdentity {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> gids = {};
    std::string from = {};  ///< "declared" or "ldap"
    std::string user = {};  ///< the name that was resolved
    /// Stale: of an old answer, for no directory server could be reached. Not kept in files.
    enum class Freshness : std::uint8_t { verified, stale } freshness = Freshness::verified;
    friend bool operator==(const MountIdentity&, const MountIdentity&) = default;
};

/// Everything that the mounter must know. Never a password.
struct MountSpec {
    VolumeKey volume;
    std::string directory;                        ///< one component below mounts.root
    std::string source;                           ///< "server:/export"
    std::vector<config::RawOption> options = {};  ///< all that are in effect, the identity too
    MountIdentity identity = {};
    std::string reference = {};  ///< for log and audit
};

/// Who keeps it mounted.
struct Hold {
    std::string holder;
    /// Mounts whose answer is known to have arrived. 0: of none it is; the next Unmount ends it.
    std::uint32_t delivered = 1;
    friend bool operator==(const Hold&, const Hold&) = default;
};

struct LiveRecord {
    enum class Phase : std::uint8_t { mounting, mounted, unmounting, detached };

    Phase phase = Phase::mounting;
    Worker worker = {};  ///< pid 0 while mounting
    std::string source = {};
    MountIdentity identity = {};
    std::vector<Hold> holders = {};
    /// Of mounts before this one, which were taken away while somebody used them, and live. While
    /// there is no other mount `worker` is the last of them, for versions that know only one.
    std::vector<Worker> left = {};
    /// Why `worker` ended, where log and audit have it already.
    std::string told_end = {};
    friend bool operator==(const LiveRecord&, const LiveRecord&) = default;
};

}  // namespace uidnfs::plugins
