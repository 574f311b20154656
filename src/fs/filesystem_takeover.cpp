// SPDX-License-Identifier: Apache-2.0
// Going on with the mount of a worker that died: what the kernel holds may be older than it knows.
#include "fs/filesystem.hpp"

namespace uidnfs::fs {

void Filesystem::go_on() {
    // What the server said of the root is as old as the mount.
    if (const auto root = inodes_.find(kRootId)) root->attrs.expire();
    // Which pages of an open file the kernel has, and of what state of it, nobody knows any more.
    inodes_.for_each([this](const InodeRef& inode) {
        if (inode->is_regular() && inode->opens > 0) drop_pages(inode, 0, 0);
    });
    // The worker before died in the last close of these, and the kernel names an open file that is
    // no more when it tells that again.
    const auto removed = unsettled_silly_;
    for (const auto id : removed) {
        const auto inode = inodes_.find(id);
        if (inode->opens == 0) core::spawn(remove_silly({inode->remover}, inode));
    }
}

}  // namespace uidnfs::fs
