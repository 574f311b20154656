// SPDX-License-Identifier: Apache-2.0
#include "fs/salvage.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace uidnfs::fs {
namespace {

using Ranges = std::map<std::uint64_t, UnwrittenRange>;

template <class T, class F>
void for_each(const core::Arena& arena, RegionId id, const std::vector<bool>& sound, F&& visit) {
    // A Table of its own would do, and would look for free records.
    const auto region = arena.region(id);
    for (std::uint64_t i = 0; i < sound.size(); ++i) {
        if (!sound[i]) continue;
        const auto& cell = *reinterpret_cast<const typename core::Table<T>::Cell*>(
            region.base + i * region.stride
        );
        visit(i, cell.record);
    }
}

/// Takes [begin, end) out.
void carve(Ranges& ranges, std::uint64_t begin, std::uint64_t end) {
    auto it = ranges.lower_bound(begin);
    if (it != ranges.begin()) --it;
    while (it != ranges.end() && it->first < end) {
        const auto range = it->second;
        const auto range_end = range.offset + range.bytes.size();
        if (range_end <= begin) {
            ++it;
            continue;
        }
        it = ranges.erase(it);
        if (range.offset < begin) {
            auto head = range;
            head.bytes = range.bytes.first(begin - range.offset);
            ranges.emplace(head.offset, head);
        }
        if (range_end > end) {
            auto tail = range;
            tail.offset = end;
            tail.bytes = range.bytes.subspan(end - range.offset);
            it = std::next(ranges.emplace(tail.offset, tail).first);
        }
    }
}

}  // namespace

std::vector<UnwrittenFile> unwritten_files(const core::Arena& arena, const SoundRecords& sound) {
    std::vector<ExtentRecord> extents;
    const auto take_extent = [&](std::uint64_t, const ExtentRecord& record) {
        extents.push_back(record);
    };
    for_each<ExtentRecord>(arena, kExtentRegion, sound.extents, take_extent);
    // The higher one holds (ExtentRecord::order).
    std::sort(extents.begin(), extents.end(), [](const ExtentRecord& a, const ExtentRecord& b) {
        return std::tuple(a.inode, a.order, a.offset) < std::tuple(b.inode, b.order, b.offset);
    });
    const auto* bytes = arena.region(kSlotRegion).base;
    std::map<std::uint64_t, Ranges> by_inode;
    for (const auto& extent : extents) {
        auto& ranges = by_inode[extent.inode];
        if (extent.state == ExtentState::cut) {
            carve(ranges, extent.offset, ~std::uint64_t{0});
            continue;
        }
        carve(ranges, extent.offset, extent.offset + extent.length);
        const std::span piece(bytes + extent.data, extent.length);
        ranges[extent.offset] = {extent.offset, piece, extent.credential};
    }
    std::map<std::uint64_t, UnwrittenFile> files;
    for (auto& [inode, ranges] : by_inode) {
        if (ranges.empty()) continue;
        auto& file = files[inode];
        for (const auto& [offset, range] : ranges) file.ranges.push_back(range);
    }
    const auto take_inode = [&](std::uint64_t, const InodeRecord& record) {
        const auto file = files.find(record.id);
        if (file == files.end()) return;
        file->second.fileid = record.fileid;
        file->second.handle.assign(
            record.handle.begin(), record.handle.begin() + record.handle_size
        );
    };
    for_each<InodeRecord>(arena, kInodeRegion, sound.inodes, take_inode);
    const auto take_written = [&](std::uint64_t, const WrittenRecord& record) {
        const auto file = files.find(record.inode);
        if (file == files.end()) return;
        file->second.ctime = record.ctime;
        // Of two, one is of a worker that knew no names.
        if (record.path[0] != '\0') file->second.path = record.path.data();
    };
    for_each<WrittenRecord>(arena, kWrittenRegion, sound.written, take_written);
    std::vector<UnwrittenFile> out;
    for (auto& [inode, file] : files) out.push_back(std::move(file));
    return out;
}

std::vector<CredentialRecord> recorded_credentials(
    const core::Arena& arena, const SoundRecords& sound
) {
    std::vector<CredentialRecord> out(sound.credentials.size());
    for_each<CredentialRecord>(
        arena,
        kCredentialRegion,
        sound.credentials,
        [&](std::uint64_t index, const CredentialRecord& record) { out[index] = record; }
    );
    return out;
}

}  // namespace uidnfs::fs
