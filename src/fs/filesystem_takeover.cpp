// SPDX-License-Identifier: Apache-2.0
// Going on with the mount of a worker that died: what the kernel holds may be older than it knows.
#include "fs/filesystem.hpp"

namespace uidnfs::fs {

void Filesystem::go_on() {
    // What the server said of the root is as old as the mount.
    if (const auto root = inodes_.find(kRootId)) root->attrs.expire();
    // Which pages of an open file the kernel has, and of what state of it, nobody knows any more.
    inodes_.for_each([this](const InodeRef& inode) {
        if (inode->is_regular() && inode->opens > 0) deps_.invalidator.inode(inode->id, 0, 0);
    });
}

}  // namespace uidnfs::fs
