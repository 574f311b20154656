// SPDX-License-Identifier: Apache-2.0
// Restore: what a worker takes over from the one that died before it. The arena was checked
// (arena_check.hpp); what remains are records of things that were being made or taken away.
#include "fs/filesystem.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace uidnfs::fs {

void Filesystem::restore() {
    ledger_.restore(credentials_);
    const auto going = restore_opens();
    restore_silly();
    restore_extents();
    drop_unused();
    for (const auto open : going) core::spawn(release(open));
}

std::vector<OpenId> Filesystem::restore_opens() {
    std::vector<OpenId> going;
    std::unordered_map<OpenId, DirStream::Found> streams;
    std::vector<CookieRecords::Index> cookies;
    const auto& records = opens_.records();
    for (OpenRecords::Index i = 0; i < records.high_water(); ++i) {
        if (!records.is_valid(i)) continue;
        const auto inode = inodes_.find(records[i].inode);
        const auto file = opens_.adopt(i, inode);
        file->ref.handle = inode->handle;
        file->context.credential = ledger_.find(records[i].credential);
        if (records[i].kind == OpenKind::directory) {
            streams.try_emplace(file->id);
            continue;
        }
        nameless_opens_.insert(file->id);
        if (records[i].owed & kOwed) begin_owed(file, records[i].owed & 07777);
        if (records[i].owed & kGoing) going.push_back(file->id);
        if (inode->is_regular()) page_watch_.note(inode, file->context);
    }
    // Those of a stream that was being closed have no open any more.
    for (CursorRecords::Index i = 0; i < cursor_records_.high_water(); ++i) {
        if (!cursor_records_.is_valid(i)) continue;
        const auto stream = streams.find(cursor_records_[i].open);
        if (stream == streams.end() || stream->second.cursor != CursorRecords::kNone) {
            cursor_records_.erase(i);
        } else {
            stream->second.cursor = i;
        }
    }
    for (CookieRecords::Index i = 0; i < cookie_records_.high_water(); ++i) {
        if (cookie_records_.is_valid(i)) cookies.push_back(i);
    }
    std::sort(cookies.begin(), cookies.end(), [&](auto a, auto b) {
        return cookie_records_[a].number < cookie_records_[b].number;
    });
    for (const auto i : cookies) {
        const auto stream = streams.find(cookie_records_[i].open);
        if (stream == streams.end()) {
            cookie_records_.erase(i);
            continue;
        }
        auto& found = stream->second;
        const auto number = cookie_records_[i].number;
        if (number == CookieRecord::kEnd) {
            // Of two, which a version that does not know them leaves, nobody knows the right one.
            if (found.end == CookieRecords::kNone) {
                found.end = i;
            } else {
                cookie_records_.erase(i);
                cookie_records_.erase(std::exchange(found.end, CookieRecords::kNone));
            }
            continue;
        }
        if (found.cookies.empty()) found.first_number = number;
        // A number is missing where the table was full.
        if (number == found.first_number + found.cookies.size()) {
            found.cookies.push_back(i);
        } else {
            cookie_records_.erase(i);
        }
    }
    const DirStream::Journal journal{cursor_records_, cookie_records_};
    for (auto& [id, found] : streams) {
        if (found.cursor == CursorRecords::kNone) found.cursor = cursor_records_.insert({id, 0});
        opens_.find(id)->directory = std::make_unique<DirStream>(journal, id, std::move(found));
    }
    return going;
}

void Filesystem::restore_silly() {
    for (SillyRecords::Index i = 0; i < silly_records_.high_water(); ++i) {
        if (!silly_records_.is_valid(i)) continue;
        const auto inode = inodes_.find(silly_records_[i].inode);
        const auto parent = inodes_.find(silly_records_[i].parent);
        unsettled_silly_.insert(inode->id);
        inode->silly = i;
        inode->remover = ledger_.find(silly_records_[i].credential);
        ++parent->opens;
    }
}

void Filesystem::restore_extents() {
    // What a worker that died had acknowledged and not yet committed goes to the server again.
    std::vector<ExtentRecords::Index> found;
    for (ExtentRecords::Index i = 0; i < extent_records_.high_water(); ++i) {
        if (extent_records_.is_valid(i)) found.push_back(i);
    }
    std::sort(found.begin(), found.end(), [&](auto a, auto b) {
        const auto& left = extent_records_[a];
        const auto& right = extent_records_[b];
        return std::pair(left.order, left.offset) < std::pair(right.order, right.offset);
    });
    for (const auto i : found) {
        const auto inode = inodes_.find(extent_records_[i].inode);
        writer_.restore(inode, i);
        // What others may have written since over bytes that are not sent again, nobody knows.
        if (inode->file->extents.has_uncommitted()) writer_.note_overtaken(*inode);
    }
    for (WrittenRecords::Index i = 0; i < written_records_.high_water(); ++i) {
        if (!written_records_.is_valid(i)) continue;
        writer_.restore_written(inodes_.find(written_records_[i].inode), i);
    }
}

void Filesystem::drop_unused() {
    // Made for a reply that was never given, or not yet taken away.
    std::vector<InodeRef> unused;
    inodes_.for_each([&](const InodeRef& inode) {
        if (inode->lookups == 0) unused.push_back(inode);
    });
    for (const auto& inode : unused) inodes_.drop_if_unused(inode);
}

std::vector<bool> Filesystem::credentials_in_use(std::size_t numbers) const {
    std::vector<bool> used(numbers);
    const auto mark = [&](std::uint32_t number) {
        if (number != kMountsOwn && number <= numbers) used[number - 1] = true;
    };
    const auto mark_all = [&](const auto& records) {
        for (std::uint32_t i = 0; i < records.high_water(); ++i) {
            if (records.is_valid(i)) mark(records[i].credential);
        }
    };
    mark_all(opens_.records());
    mark_all(extent_records_);
    mark_all(silly_records_);
    return used;
}

}  // namespace uidnfs::fs
