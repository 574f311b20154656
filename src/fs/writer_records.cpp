// SPDX-License-Identifier: Apache-2.0
// What Writer keeps of a file with bytes in the arena, for the next worker and for whoever must
// write those bytes back by hand; and how it takes over what a dead one kept.
#include "fs/writer.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

namespace uidnfs::fs {
namespace {

std::uint64_t known_ctime(const Inode& inode) noexcept {
    if (!inode.attrs.has_attr()) return 0;
    return ctime_word(inode.attrs.attr().ctime);
}

WrittenRecord record_of(const Inode& inode, const std::string& path) {
    WrittenRecord record{inode.id, known_ctime(inode), {}};
    // What is cut off a very long one is its beginning.
    const auto fits = std::min(path.size(), record.path.size() - 1);
    path.copy(record.path.data(), fits, path.size() - fits);
    return record;
}

}  // namespace

void Writer::restore(const InodeRef& inode, std::uint32_t record) {
    const auto& found = deps_.journal.records[record];
    auto& file = state_of(*inode);
    if (found.state == ExtentState::cut) {
        file.extents.restore_cut(record);
    } else {
        // arena_check.hpp: the slot is there, and so is the identity.
        auto* memory =
            deps_.slots.adopt(static_cast<std::uint32_t>(found.data / deps_.slots.bytes()));
        const auto* data = deps_.journal.slot_base + found.data;
        const auto credential = deps_.credentials.find(found.credential);
        const auto origin = file.origin_of({{inode->handle}, {credential}});
        file.extents.restore(
            record, core::Slice(*memory, data, found.length), origin, deps_.clock.now()
        );
    }
    settle(inode);
}

void Writer::restore_written(const InodeRef& inode, std::uint32_t record) {
    if (!inode->file || inode->file->extents.empty()) {
        deps_.written.erase(record);
    } else if (inode->file->written == WrittenRecords::kNone) {
        inode->file->written = record;
    } else {
        // The names are not known to this worker: what the record says is better.
        end_record(*inode->file);
        inode->file->written = record;
    }
}

void Writer::begin_record(const Inode& inode) {
    auto& file = *inode.file;
    if (file.written != WrittenRecords::kNone) return;
    file.written = deps_.written.insert(record_of(inode, deps_.inodes.path_of(inode)));
}

void Writer::end_record(FileState& file) {
    if (file.written == WrittenRecords::kNone) return;
    deps_.written.erase(file.written);
    file.written = WrittenRecords::kNone;
}

void Writer::note_attributes(const Inode& inode) {
    if (!inode.file || inode.file->written == WrittenRecords::kNone) return;
    auto& written = inode.file->written;
    // It was moved: another record, for a path is more than one store. Of a file that was removed
    // while open the name that people gave it says more.
    const auto path = inode.silly ? std::string() : deps_.inodes.path_of(inode);
    const auto now = record_of(inode, path);
    if (!path.empty() && now.path != deps_.written[written].path) {
        const auto renewed = deps_.written.insert(now);
        if (renewed != WrittenRecords::kNone) {
            return deps_.written.erase(std::exchange(written, renewed));
        }
    }
    deps_.written.set(written, &WrittenRecord::ctime, now.ctime);
}

std::string Writer::path_of(const Inode& inode) const {
    if (inode.file && inode.file->written != WrittenRecords::kNone) {
        const std::string recorded = deps_.written[inode.file->written].path.data();
        if (!recorded.empty()) return recorded;
    }
    return deps_.inodes.path_of(inode);
}

}  // namespace uidnfs::fs
