// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/mounted_volume.hpp"

#include <utility>

namespace uidnfs::plugins {

std::vector<MountedVolume> mounted_volumes(const Volumes& volumes) {
    std::vector<MountedVolume> mounted;
    for (const auto dialect : {Dialect::docker, Dialect::cloudfoundry}) {
        for (auto& info : volumes.list(dialect)) {
            if (!info.worker) continue;
            auto stays = MountedVolume::Stays::yes;
            if (info.state == State::unmounting) stays = MountedVolume::Stays::no;
            if (info.state == State::detached) stays = MountedVolume::Stays::detached;
            mounted.push_back(
                {{dialect, std::move(info.name)},
                 std::move(*info.worker),
                 std::move(info.source),
                 std::move(info.identity),
                 stays}
            );
        }
    }
    return mounted;
}

}  // namespace uidnfs::plugins
