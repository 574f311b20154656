// SPDX-License-Identifier: Apache-2.0
// InodeNumbers: the st_ino of a file on a server that joins several file systems below one export.
// The mount is one device, and file ids count within one file system only: two roots with the number
// 2 look like a loop to find(1), and two files with two links each like one file to cp -a. Ids of the
// root's file system are shown as they are, all others mixed with theirs. Reactor's thread only.
#pragma once

#include "nfs/types.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace uidnfs::fs {

class InodeNumbers {
public:
    explicit InodeNumbers(const nfs::Attr& root) : home_{root.fsid} {}

    /// Different within a file system, the same at every mount of one export.
    std::uint64_t of(std::uint64_t fsid, std::uint64_t fileid) const noexcept {
        const auto number = is_home(fsid) ? fileid : fileid ^ scatter(fsid);
        // readdir(3) takes 0 for an entry that is not in use, and leaves it out.
        return number ? number : scatter(fsid);
    }

    /// What a handle stands for stays where it is: another fsid with the same id means that the
    /// server numbers its file systems anew, as some do when they restart.
    void learn(const nfs::Attr& known, const nfs::Attr& found) {
        if (known.fsid == found.fsid || known.fileid != found.fileid) return;
        if (!is_home(known.fsid) || is_home(found.fsid)) return;
        if (home_.size() == kMostHomes) home_.erase(home_.begin());
        home_.push_back(found.fsid);
    }

private:
    /// A server that has had more names for it than that lies.
    static constexpr std::size_t kMostHomes = 8;

    bool is_home(std::uint64_t fsid) const noexcept {
        return std::find(home_.begin(), home_.end(), fsid) != home_.end();
    }
    /// SplitMix64's: fsids are often small numbers that differ in a few bits.
    static std::uint64_t scatter(std::uint64_t value) noexcept {
        value += 0x9e37'79b9'7f4a'7c15;
        value = (value ^ value >> 30) * 0xbf58'476d'1ce4'e5b9;
        value = (value ^ value >> 27) * 0x94d0'49bb'1331'11eb;
        return value ^ value >> 31;
    }

    std::vector<std::uint64_t> home_;  ///< the root's, by every name that it had
};

}  // namespace uidnfs::fs
