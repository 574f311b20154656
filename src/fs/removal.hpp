// SPDX-License-Identifier: Apache-2.0
// Removal: a name of a file goes, or a silly name of a directory; whoever opens the one or removes
// the other waits for that. Lives in the coroutine that removes; reactor's thread only.
#pragma once

#include "core/event.hpp"
#include "fs/inode.hpp"

#include <utility>

namespace uidnfs::fs {

class Removal {
public:
    /// `ended` is told when the last one of `inode` has ended; no inode: nobody waits.
    Removal(core::Event& ended, InodeRef inode) : ended_(ended), inode_(std::move(inode)) {
        if (inode_) ++inode_->removals;
    }
    Removal(const Removal&) = delete;
    Removal& operator=(const Removal&) = delete;
    ~Removal() {
        if (inode_ && --inode_->removals == 0) ended_.notify_all();
    }

private:
    core::Event& ended_;
    InodeRef inode_;
};

}  // namespace uidnfs::fs
