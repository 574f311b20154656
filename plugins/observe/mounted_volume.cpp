// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/mounted_volume.hpp"

#include <utility>

namespace uidnfs::plugins {

std::vector<MountedVolume> mounted_volumes(const Volumes& volumes) {
    std::vector<MountedVolume> mounted;
    for (const auto dialect : {Dialect::docker, Dialect::cloudfoundry}) {
        for (auto& info : volumes.list(dialect)) {
            if (!info.worker) continue;
            const bool leaves = info.state == State::unmounting || info.state == State::detached;
            mounted.push_back(
                {{dialect, std::move(info.name)},
                 std::move(*info.worker),
                 std::move(info.source),
                 std::move(info.identity),
                 leaves ? MountedVolume::Stays::no : MountedVolume::Stays::yes}
            );
        }
    }
    return mounted;
}

}  // namespace uidnfs::plugins
