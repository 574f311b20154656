// SPDX-License-Identifier: Apache-2.0
#include "fs/inode.hpp"

#include <algorithm>

namespace uidnfs::fs {

ExtentMap::Origin FileState::origin_of(const WriteContext& context) {
    const auto known = std::find_if(origins.begin(), origins.end(), [&](const WriteContext& other) {
        return other.call.credential == context.call.credential &&
               other.open.state == context.open.state;
    });
    if (known == origins.end()) {
        origins.push_back(context);
        return static_cast<ExtentMap::Origin>(origins.size() - 1);
    }
    return static_cast<ExtentMap::Origin>(known - origins.begin());
}

}  // namespace uidnfs::fs
