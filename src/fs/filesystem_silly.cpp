// SPDX-License-Identifier: Apache-2.0
// Silly names: a file that is removed or replaced while open here stays on the server as .nfs*
// until its last close. The name is in the arena before the server hears of it; after a take-over
// the server is asked which of the two names the file has.
#include "core/log.hpp"
#include "fs/filesystem.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace uidnfs::fs {
namespace {

/// How often a silly name that is taken is tried again with the next number.
constexpr int kSillyAttempts = 16;
/// Of a directory's mode (unlink(2), EPERM).
constexpr std::uint32_t kSticky = 01000;

}  // namespace

bool Filesystem::must_stay(const InodeRef& child) const noexcept {
    return child && child->is_in_use() && !child->is_directory() && !child->silly;
}

bool Filesystem::is_silly_name(const InodeRef& child, const Inode& parent, const std::string& name)
    const {
    if (!child || !child->silly) return false;
    const auto& record = silly_records_[*child->silly];
    return record.parent == parent.id && name == record.name.data();
}

Filesystem::Silly Filesystem::how_to_hide(
    const Inode& parent, const Inode& child, const nfs::CallContext& context
) const noexcept {
    if (!parent.attrs.has_attr() || (parent.attrs.attr().mode & kSticky) == 0) return Silly::added;
    // Anybody who may write to it gives a file another name there; only these two take names away.
    const auto uid = context.credential->uid();
    const bool is_owner =
        parent.attrs.attr().uid == uid || (child.attrs.has_attr() && child.attrs.attr().uid == uid);
    return is_owner ? Silly::added : Silly::moved;
}

core::Task<core::Result<Filesystem::Silly>> Filesystem::make_silly(
    nfs::CallContext context, InodeRef parent, std::string name, InodeRef child, Silly wanted
) {
    const auto fileid = child->attrs.has_attr() ? child->attrs.attr().fileid : child->id;
    for (int attempt = 0; attempt < kSillyAttempts; ++attempt) {
        const auto number = static_cast<std::uint32_t>(boot_nonce_) + counter_++;
        const auto silly = fmt::format(".nfs{:016x}{:08x}", fileid, number);
        const auto taken = co_await deps_.client.lookup(context, parent->handle, silly);
        if (taken) continue;
        if (taken.error().code() != ENOENT) co_return taken.error();
        const auto remover = ledger_.number_of(context.credential);
        if (!remover) co_return core::Error(ENFILE);
        // Its close may come before the record has an end.
        const Kept kept_child(inodes_, child);
        const Kept kept_parent(inodes_, parent);
        SillyRecord record{child->id, parent->id, *remover, 0, {}};
        std::copy(silly.begin(), silly.end(), record.name.begin());
        const auto index = silly_records_.insert(record);
        if (index == SillyRecords::kNone) co_return core::Error(ENFILE);
        // The name may be gone when this request comes again; what it is about is not this move.
        context.progress.note_sent();
        const nfs::CallContext silently{context.credential};
        auto made = Silly::moved;
        if (wanted == Silly::added && deps_.client.fs_info().has_links) {
            const auto linked = co_await link_call(silently, child, parent, silly);
            if (linked) {
                inodes_.add_name(parent, silly, child);
                made = Silly::added;
            }
        }
        if (made == Silly::moved) {
            const auto renamed = co_await rename_call(silently, parent, name, parent, silly);
            if (!renamed) {
                silly_records_.erase(index);
                co_return renamed.error();
            }
        }
        child->silly = index;
        child->remover = context.credential;
        ++parent->opens;  // its handle is needed for the last REMOVE
        // The last close may have come while the name was changing.
        if (!child->is_in_use()) co_await remove_silly(context, child);
        co_return made;
    }
    co_return core::Error(EBUSY);
}

core::Task<void> Filesystem::undo_silly(
    nfs::CallContext context, InodeRef parent, std::string name, InodeRef child, Silly made
) {
    if (made == Silly::added) co_return co_await remove_silly(std::move(context), child);
    const std::string silly = silly_records_[*child->silly].name.data();
    const nfs::CallContext silently{context.credential};
    const auto back = co_await rename_call(silently, parent, silly, parent, name);
    drop_attributes(*parent);
    drop_attributes(*child);
    if (!back) co_return;  // it stays a silly name and goes with the last close
    if (child->silly) forget_silly(child);  // else that has come meanwhile, too late for the name
}

core::Task<void> Filesystem::remove_silly(nfs::CallContext context, InodeRef inode) {
    const auto record = silly_records_[*inode->silly];
    const std::string name = record.name.data();
    writer_.pause(inode);
    if (inode->remover) context.credential = inode->remover;
    if (const auto parent = inodes_.find(record.parent)) {
        const Removal removal(removals_, parent);
        const Removal last(removals_, inode);  // who opens it by what a lookup told is too late
        ++silly_removals_;
        parent->attrs.begin_change();
        const auto reply = co_await deps_.client.remove(context, parent->handle, name);
        finish_change(parent, reply ? *reply : nfs::Wcc{});
        if (!reply && reply.error().code() != ENOENT) {
            core::log::warning(
                "cannot remove {}, which was deleted while open: {}; remove it by hand",
                name,
                core::to_string(reply.error())
            );
        }
        inodes_.remove_name(parent, name);
        if (reply) {
            inode->unlinked = Inode::Unlinked::yes;
            inode->attrs.expect_ctime_change();  // it may have other names, and one link less now
            co_await drop_if_gone(context, inode);
        }
        drop_attributes(*parent);
        drop_attributes(*inode);
        --silly_removals_;
    }
    writer_.resume(inode);
    if (inode->silly) forget_silly(inode);
    inodes_.drop_if_unused(inode);
}

void Filesystem::forget_silly(const InodeRef& inode) {
    const auto index = *inode->silly;
    const auto parent = inodes_.find(silly_records_[index].parent);
    silly_records_.erase(index);
    inode->silly.reset();
    unsettled_silly_.erase(inode->id);
    if (!parent) return;
    --parent->opens;
    inodes_.drop_if_unused(parent);
}

core::Task<core::Result<nfs::Attr>> Filesystem::refresh_links(
    nfs::CallContext context, InodeRef inode
) {
    for (;;) {
        while (is_silly_going(*inode)) co_await removals_.ended.wait();
        const auto silly = inode->silly;
        const auto told = co_await refresh(context, inode);
        if (!told || (inode->silly == silly && !is_silly_going(*inode))) co_return told;
    }
}

core::Task<core::Result<void>> Filesystem::settle_silly(InodeRef inode) {
    if (!inode->silly) co_return core::Result<void>();
    const auto record = silly_records_[*inode->silly];
    const auto parent = inodes_.find(record.parent);
    const nfs::CallContext context{inode->remover};
    const std::string name = record.name.data();
    const auto found = co_await deps_.client.lookup(context, parent->handle, name);
    if (!found && found.error().code() != ENOENT) co_return found.error();
    const bool is_settled = unsettled_silly_.erase(inode->id) == 0;
    if (is_settled || (found && found->handle == inode->handle)) co_return core::Result<void>();
    // It still has its own name, or not even this one any more.
    if (inode->silly) forget_silly(inode);
    co_return core::Result<void>();
}

core::Task<void> Filesystem::silly_names_gone(
    nfs::CallContext context, InodeRef parent, std::string name
) {
    auto child = inodes_.child(*parent, name);
    if (!child) {
        const nfs::CallContext silently{context.credential};
        const auto found = co_await deps_.client.lookup(silently, parent->handle, name);
        if (found) child = inodes_.find(found->handle);
    }
    while (child && child->removals > 0) co_await removals_.ended.wait();
}

}  // namespace uidnfs::fs
