// SPDX-License-Identifier: Apache-2.0
// Unattached: a keeper whose mount is nowhere to be seen: it still tries to make it (bg), or the
// mount was detached while programs use it.
#pragma once

#include "app/names.hpp"

#include <optional>
#include <string>
#include <vector>

namespace uidnfs::app {

struct Unattached {
    Address keeper;
    std::string source;
    std::string phase;  ///< "starting", "serving", "ending"
};

/// The one whose mount is, or was, to be at `path`. Asks every such keeper, a second at most each.
std::optional<Unattached> find_unattached(
    const std::vector<MountEntry>& mounts, const std::string& path
);

}  // namespace uidnfs::app
