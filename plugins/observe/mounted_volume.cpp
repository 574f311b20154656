// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/mounted_volume.hpp"

#include <utility>

namespace uidnfs::plugins {
namespace {

MountedVolume::Stays stays_in(State state) {
    if (state == State::unmounting) return MountedVolume::Stays::no;
    return state == State::detached ? MountedVolume::Stays::detached : MountedVolume::Stays::yes;
}

}  // namespace

std::vector<MountedVolume> mounted_volumes(const Volumes& volumes) {
    std::vector<MountedVolume> mounted;
    for (const auto dialect : {Dialect::docker, Dialect::cloudfoundry}) {
        for (auto& info : volumes.list(dialect)) {
            if (!info.worker) continue;
            mounted.push_back(
                {{dialect, std::move(info.name)},
                 std::move(*info.worker),
                 std::move(info.source),
                 std::move(info.identity),
                 stays_in(info.state)}
            );
        }
    }
    return mounted;
}

MountedVolume::Stays stays(
    const Volumes& volumes, const VolumeKey& volume, const WorkerId& worker
) {
    const auto info = volumes.find(volume);
    const bool is_there = info && info->worker && info->worker->id == worker;
    return is_there ? stays_in(info->state) : MountedVolume::Stays::no;
}

}  // namespace uidnfs::plugins
