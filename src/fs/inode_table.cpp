// SPDX-License-Identifier: Apache-2.0
#include "fs/inode_table.hpp"

#include "core/pages.hpp"

#include <algorithm>

namespace uidnfs::fs {

InodeTable::InodeTable(InodeRecords records, CounterRecords& counters)
    : records_(std::move(records)), counters_(counters) {
    for (InodeRecords::Index i = 0; i < records_.high_water(); ++i) {
        if (!records_.is_valid(i)) continue;
        const auto& record = records_[i];
        const auto size = std::min<std::size_t>(record.handle_size, record.handle.size());
        const nfs::FileHandle handle(std::span(record.handle.data(), size));
        auto inode =
            std::make_shared<Inode>(record.id, i, handle, static_cast<nfs::FileType>(record.type));
        inode->lookups = record.lookups;
        inode->write_error = WriteError::from_word(record.write_error);
        // A handle that became another file has two; the newer one is what it is now.
        auto& newest = by_handle_[handle];
        newest = std::max(newest, record.id);
        by_id_.emplace(record.id, std::move(inode));
    }
}

InodeRef InodeTable::find(InodeId id) const {
    const auto it = by_id_.find(id);
    return it == by_id_.end() ? nullptr : it->second;
}

InodeRef InodeTable::find(const nfs::FileHandle& handle) const {
    const auto it = by_handle_.find(handle);
    return it == by_handle_.end() ? nullptr : find(it->second);
}

InodeRef InodeTable::insert(InodeId id, const nfs::FileHandle& handle, const nfs::Attr& attr) {
    InodeRecord record{
        id,
        attr.fileid,
        0,
        0,
        static_cast<std::uint32_t>(attr.type),
        static_cast<std::uint32_t>(handle.bytes().size()),
        {}};
    std::copy(handle.bytes().begin(), handle.bytes().end(), record.handle.begin());
    core::map_heap_growth();  // a listing makes hundreds in one turn
    const auto index = records_.insert(record);
    if (index == InodeRecords::kNone) return nullptr;
    auto inode = std::make_shared<Inode>(id, index, handle, attr.type);
    by_handle_[handle] = id;
    by_id_.emplace(id, inode);
    return inode;
}

InodeRef InodeTable::get(const nfs::FileHandle& handle, const nfs::Attr& attr) {
    if (const auto known = by_handle_.find(handle); known != by_handle_.end()) {
        auto inode = find(known->second);
        if (inode->type == attr.type && records_[inode->record].fileid == attr.fileid) return inode;
        forget_handle(*inode);
    }
    const auto id = counters_[0].next_inode;
    counters_.set(0, &CounterRecord::next_inode, id + 1);
    return insert(id, handle, attr);
}

InodeRef InodeTable::add_root(const nfs::FileHandle& handle, const nfs::Attr& attr) {
    if (auto known = find(kRootId)) return known;
    auto root = insert(kRootId, handle, attr);
    add_lookup(*root);  // the kernel never forgets the root
    return root;
}

void InodeTable::add_lookup(Inode& inode) {
    ++inode.lookups;
    records_.set(inode.record, &InodeRecord::lookups, inode.lookups);
}

void InodeTable::remove_lookups(const InodeRef& inode, std::uint64_t count) {
    inode->lookups -= std::min(count, inode->lookups);
    records_.set(inode->record, &InodeRecord::lookups, inode->lookups);
    drop_if_unused(inode);
}

bool InodeTable::has_unknown_names(const Inode& inode) {
    if (inode.is_directory()) return false;
    if (!inode.attrs.has_attr()) return true;
    const std::size_t gone = inode.unlinked == Inode::Unlinked::yes ? 1 : 0;
    return inode.attrs.attr().nlink > inode.names.size() + gone;
}

void InodeTable::drop_if_unused(const InodeRef& inode) {
    if (inode->lookups > 0 || inode->opens > 0 || inode->kept > 0 || inode->silly) return;
    if (inode->file && !inode->file->extents.empty()) return;
    if (!by_id_.contains(inode->id)) return;
    dropped_changed_at_ = std::max(dropped_changed_at_, inode->changed_at);
    if (has_unknown_names(*inode)) {
        unnamed_changed_at_ = std::max(unnamed_changed_at_, inode->changed_at);
    }
    for (const auto& known : inode->names) {
        const auto parent = find(known.parent);
        if (!parent) continue;
        parent->children.erase(known.name);
        // We may have changed it since it was listed.
        if (parent->known) parent->known->changed(known.name);
    }
    inode->names.clear();
    forget_handle(*inode);
    records_.erase(std::exchange(inode->record, InodeRecords::kNone));
    by_id_.erase(inode->id);
}

void InodeTable::record_error(const Inode& inode) {
    if (inode.record == InodeRecords::kNone) return;
    const auto word = inode.write_error.word();
    if (records_[inode.record].write_error == word) return;
    records_.set(inode.record, &InodeRecord::write_error, word);
}

std::string InodeTable::path_of(const Inode& inode) const {
    constexpr int kDeepest =
        256;  // names of a directory that moves may go in a circle for a moment
    std::string path;
    const auto* at = &inode;
    for (int depth = 0; at->id != kRootId; ++depth) {
        if (at->names.empty() || depth == kDeepest) return {};
        const auto& last = at->names.back();
        path = path.empty() ? last.name : last.name + "/" + path;
        const auto parent = by_id_.find(last.parent);
        if (parent == by_id_.end()) return {};
        at = parent->second.get();
    }
    return path;
}

void InodeTable::forget_handle(const Inode& inode) {
    const auto it = by_handle_.find(inode.handle);
    if (it != by_handle_.end() && it->second == inode.id) by_handle_.erase(it);
}

void InodeTable::add_name(const InodeRef& parent, const std::string& name, const InodeRef& child) {
    if (parent->known) parent->known->seen(name, child->handle);
    const auto [it, inserted] = parent->children.try_emplace(name, child->id);
    if (!inserted) {
        if (it->second == child->id) return;
        forget_child(parent, name);
        parent->children.emplace(name, child->id);
    }
    child->names.push_back({parent->id, name});
}

void InodeTable::remove_name(const InodeRef& parent, const std::string& name) {
    if (parent->known) parent->known->removed(name);
    forget_child(parent, name);
}

void InodeTable::forget_child(const InodeRef& parent, const std::string& name) {
    const auto it = parent->children.find(name);
    if (it == parent->children.end()) return;
    if (const auto child = find(it->second)) {
        std::erase_if(child->names, [&](const NameOf& known) {
            return known.parent == parent->id && known.name == name;
        });
    }
    parent->children.erase(it);
}

InodeRef InodeTable::child(const Inode& parent, const std::string& name) const {
    const auto it = parent.children.find(name);
    return it == parent.children.end() ? nullptr : find(it->second);
}

}  // namespace uidnfs::fs
