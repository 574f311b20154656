// SPDX-License-Identifier: Apache-2.0
// InodeTable: 64-bit ids <-> file handles, lookup counts, and names. Ids count up and are never
// used again. Its records live in the arena; the maps here are made from them. Reactor's thread
// only.
#pragma once

#include "fs/inode.hpp"

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace uidnfs::fs {

class InodeTable {
public:
    /// Takes over what the records hold (nothing in a new arena).
    InodeTable(InodeRecords records, CounterRecords& counters);

    InodeRef find(InodeId id) const;
    /// The inode of a handle, made when it is new. A known handle whose file id or type changed is
    /// a new file for us. nullptr when the arena's table is full (ENFILE).
    InodeRef get(const nfs::FileHandle& handle, const nfs::Attr& attr);
    /// nullptr when the handle is new.
    InodeRef find(const nfs::FileHandle& handle) const;
    InodeRef add_root(const nfs::FileHandle& handle, const nfs::Attr& attr);

    /// One more reference of the kernel; recorded before the reply.
    void add_lookup(Inode& inode);
    void remove_lookups(const InodeRef& inode, std::uint64_t count);
    /// Drops the inode when nobody needs it any more.
    void drop_if_unused(const InodeRef& inode);
    /// Inode::changed_at of what was dropped; the latest.
    std::uint64_t dropped_changed_at() const noexcept { return dropped_changed_at_; }
    /// The same of what has names that are not known.
    std::uint64_t unnamed_changed_at() const noexcept { return unnamed_changed_at_; }

    void add_name(const InodeRef& parent, const std::string& name, const InodeRef& child);
    void remove_name(const InodeRef& parent, const std::string& name);
    /// The child that the kernel knows under this name; nullptr when there is none.
    InodeRef child(const Inode& parent, const std::string& name) const;

    /// An error of asynchronous writes is there, or was told: the next worker knows it. Nothing
    /// where the inode was dropped: a WRITE may have been under way.
    void record_error(const Inode& inode);
    /// From the root, as names were seen last: "a/b". Empty when that is not known.
    std::string path_of(const Inode& inode) const;
    /// As the server said when the inode came in; 0 of one that was dropped.
    std::uint64_t fileid_of(const Inode& inode) const {
        return inode.record == InodeRecords::kNone ? 0 : records_[inode.record].fileid;
    }

    std::size_t size() const noexcept { return by_id_.size(); }
    void trim(const core::Arena& arena) { records_.trim(arena); }

    template <class F>
    void for_each(F&& visit) const {
        for (const auto& [id, inode] : by_id_) visit(inode);
    }

private:
    InodeRef insert(InodeId id, const nfs::FileHandle& handle, const nfs::Attr& attr);
    void forget_handle(const Inode& inode);
    /// A worker before this one may have known them, or nobody here does.
    static bool has_unknown_names(const Inode& inode);
    void forget_child(const InodeRef& parent, const std::string& name);

    InodeRecords records_;
    CounterRecords& counters_;
    std::uint64_t dropped_changed_at_ = 0;
    std::uint64_t unnamed_changed_at_ = 0;
    std::unordered_map<InodeId, InodeRef> by_id_;
    std::unordered_map<nfs::FileHandle, InodeId, nfs::FileHandleHash> by_handle_;
};

/// Keeps an inode in the table for a call that goes on. The caller of one may have been killed; the
/// kernel closes and forgets then what the call is about, and will make records of.
class [[nodiscard]] Kept {
public:
    Kept(InodeTable& table, InodeRef inode) : table_(&table), inode_(std::move(inode)) {
        ++inode_->kept;
    }
    Kept(Kept&& other) noexcept : table_(other.table_), inode_(std::move(other.inode_)) {}
    Kept& operator=(Kept&&) = delete;
    ~Kept() {
        if (inode_ && --inode_->kept == 0) table_->drop_if_unused(inode_);
    }

private:
    InodeTable* table_;
    InodeRef inode_;
};

}  // namespace uidnfs::fs
