// SPDX-License-Identifier: Apache-2.0
// MountedVolume: a mount that lives, as far as whoever watches it must know. Plain data.
#pragma once

#include "plugins/core/volumes.hpp"

#include <boost/json/object.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace uidnfs::plugins {

struct MountedVolume {
    VolumeKey key;
    Worker worker;
    std::string source = {};
    MountIdentity identity = {};
    /// no: it is being unmounted; detached: it was, and its worker still flushes, or programs use
    /// it.
    enum class Stays : std::uint8_t { yes, no, detached } stays = Stays::yes;
};

/// Those of all platforms that have a worker.
std::vector<MountedVolume> mounted_volumes(const Volumes& volumes);
/// Of that worker's mount; no also where it is none any more.
MountedVolume::Stays stays(const Volumes& volumes, const VolumeKey& volume, const WorkerId& worker);

/// Hears what workers say of themselves. Called on the reactor's thread.
class StatusListener {
public:
    virtual ~StatusListener() = default;
    /// `status` as of `uidnfs status --json`.
    virtual void status_told(const MountedVolume& volume, const boost::json::object& status) = 0;
    /// That worker is no longer behind a volume; the last call about it.
    virtual void worker_gone(const MountedVolume& volume) = 0;
};

}  // namespace uidnfs::plugins
