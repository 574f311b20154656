// SPDX-License-Identifier: Apache-2.0
// The type of a file as stat(2) and getdents(2) show it. Pure.
#pragma once

#include "nfs/types.hpp"

#include <sys/stat.h>

namespace uidnfs::fs {

/// S_IFREG and its like (inode(7)).
constexpr mode_t type_bits(nfs::FileType type) noexcept {
    switch (type) {
        case nfs::FileType::regular: return S_IFREG;
        case nfs::FileType::directory: return S_IFDIR;
        case nfs::FileType::block_device: return S_IFBLK;
        case nfs::FileType::character_device: return S_IFCHR;
        case nfs::FileType::symlink: return S_IFLNK;
        case nfs::FileType::socket: return S_IFSOCK;
        case nfs::FileType::fifo: return S_IFIFO;
    }
    return 0;
}

}  // namespace uidnfs::fs
