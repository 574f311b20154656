// SPDX-License-Identifier: Apache-2.0
// OpenTable: open files and directories by the id that the kernel sends with each read and write.
// Reactor's thread only.
#pragma once

#include "fs/dir_stream.hpp"
#include "fs/inode.hpp"
#include "fs/read_ahead.hpp"
#include "fs/records.hpp"
#include "nfs/client.hpp"

#include <fcntl.h>

#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

namespace uidnfs::fs {

/// The first page of a directory, asked for together with its open.
struct FirstPage {
    explicit FirstPage(core::Reactor& reactor) : arrived(reactor) {}

    Asked asked;
    std::optional<core::Result<nfs::DirPage>> page;  ///< once it arrived
    core::Event arrived;
};

struct OpenFile {
    OpenId id = 0;
    OpenRecords::Index record = OpenRecords::kNone;
    InodeRef inode;
    int flags = 0;  ///< of open(2)
    nfs::OpenRef ref;
    nfs::CallContext context;  ///< whose credential its reads and writes carry
    WriteError::Seen error_seen = 0;
    std::unique_ptr<DirStream> directory;
    std::shared_ptr<FirstPage> first_page;  ///< until it is listed
    std::unique_ptr<ReadAhead> ahead;       ///< once something was read ahead

    bool appends() const noexcept { return (flags & O_APPEND) && (flags & O_ACCMODE) != O_RDONLY; }
};

using OpenFileRef = std::shared_ptr<OpenFile>;

class OpenTable {
public:
    OpenTable(OpenRecords records, CounterRecords& counters)
        : records_(std::move(records)), counters_(counters) {}

    /// nullptr when the arena's table is full (ENFILE).
    OpenFileRef add(
        const InodeRef& inode, OpenKind kind, int flags, std::uint32_t credential_number
    ) {
        const auto id = counters_[0].next_open;
        counters_.set(0, &CounterRecord::next_open, id + 1);
        const auto seen = inode->write_error.sample();
        const auto index =
            records_.insert({id, inode->id, seen, kind, flags, credential_number, 0});
        if (index == OpenRecords::kNone) return nullptr;
        auto file = std::make_shared<OpenFile>();
        file->id = id;
        file->record = index;
        file->inode = inode;
        file->flags = flags;
        file->error_seen = seen;
        ++inode->opens;
        by_id_.emplace(id, file);
        return file;
    }

    /// An open file of a worker that died, whose record is still there.
    OpenFileRef adopt(OpenRecords::Index index, const InodeRef& inode) {
        auto file = std::make_shared<OpenFile>();
        file->id = records_[index].id;
        file->record = index;
        file->inode = inode;
        file->flags = records_[index].flags;
        file->error_seen = records_[index].error_seen;
        ++inode->opens;
        by_id_.emplace(file->id, file);
        return file;
    }

    OpenFileRef find(OpenId id) const {
        const auto it = by_id_.find(id);
        return it == by_id_.end() ? nullptr : it->second;
    }

    void remove(const OpenFileRef& file) {
        if (by_id_.erase(file->id) == 0) return;
        --file->inode->opens;
        records_.erase(std::exchange(file->record, OpenRecords::kNone));
    }

    /// What this open file heard before is known to the next worker too. Nothing where it was
    /// closed: others may have its record.
    void record_seen(const OpenFile& file) {
        if (file.record == OpenRecords::kNone) return;
        if (records_[file.record].error_seen == file.error_seen) return;
        records_.set(file.record, &OpenRecord::error_seen, file.error_seen);
    }
    /// A file made with CREATE EXCLUSIVE has no mode and no times yet (filesystem_owed.cpp).
    void record_owed(const OpenFile& file, std::uint32_t mode) {
        set_owed(file, kOwed | mode | (owed(file) & kGoing));
    }
    void record_paid(const OpenFile& file) { set_owed(file, owed(file) & kGoing); }
    void record_going(const OpenFile& file) { set_owed(file, owed(file) | kGoing); }
    /// A record of nothing that is there.
    void erase(OpenRecords::Index index) { records_.erase(index); }

    template <class F>
    void for_each(F&& visit) const {
        for (const auto& [id, file] : by_id_) visit(file);
    }
    std::size_t size() const noexcept { return by_id_.size(); }
    void trim(const core::Arena& arena) { records_.trim(arena); }
    const OpenRecords& records() const noexcept { return records_; }

private:
    std::uint32_t owed(const OpenFile& file) const { return records_[file.record].owed; }
    void set_owed(const OpenFile& file, std::uint32_t owed) {
        records_.set(file.record, &OpenRecord::owed, owed);
    }

    OpenRecords records_;
    CounterRecords& counters_;
    std::unordered_map<OpenId, OpenFileRef> by_id_;
};

}  // namespace uidnfs::fs
