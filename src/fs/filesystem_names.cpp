// SPDX-License-Identifier: Apache-2.0
// Names: looking them up, adding, removing and moving them. Every change of a directory is
// bracketed, so that the server's wcc data tell our changes from those of others.
#include "fs/filesystem.hpp"

#include <algorithm>
#include <cerrno>

namespace uidnfs::fs {
namespace {

/// LOOKUPs of one lookup, at most, whose answers were overtaken by changes of the name.
constexpr int kLookupsAgain = 3;

}  // namespace

core::Task<core::Result<Entry>> Filesystem::lookup(
    Caller caller, InodeId parent_id, std::string name
) {
    const auto admitted = admit(caller, parent_id, Purpose::look);
    if (!admitted) co_return admitted.error();
    const auto parent = admitted->inode;
    const auto ctx = admitted->context;
    if (auto recalled = recall(parent, name)) {
        ++counts_.lookup_hits;
        co_return std::move(*recalled);
    }
    ++counts_.lookup_misses;
    auto before = inodes_.child(*parent, name);
    auto asked = AttrCache::token();
    auto reply = co_await deps_.client.lookup(ctx, parent->handle, name);
    // A process of this mount took the name away meanwhile, or gave it to another file: the answer may
    // be from before that.
    const auto is_overtaken = [&] { return inodes_.child(*parent, name) != before; };
    for (int again = 0; again < kLookupsAgain && is_overtaken(); ++again) {
        before = inodes_.child(*parent, name);
        asked = AttrCache::token();
        reply = co_await deps_.client.lookup(ctx, parent->handle, name);
    }
    if (!reply) {
        on_error(*parent, reply.error());
        if (reply.error().code() != ENOENT) co_return reply.error();
        note_miss(ctx, parent, name);
        if (!is_overtaken()) inodes_.remove_name(parent, name);
        co_return absent(*parent);
    }
    if (reply->dir_attr) learn(parent, *reply->dir_attr, asked);
    note_miss(ctx, parent, name);
    auto attr = reply->attr;
    auto asked_attr = asked;
    if (!attr) {
        asked_attr = AttrCache::token();
        const auto fetched = co_await deps_.client.getattr(ctx, reply->handle);
        if (!fetched) co_return fetched.error();
        attr = *fetched;
    }
    auto inode = inodes_.get(reply->handle, *attr);
    if (!inode) co_return core::Error(ENFILE);
    learn(inode, *attr, asked_attr);
    // The kernel cuts its pages at a size that is shown to it.
    if (inode->attrs.is_doubted() || is_silly_going(*inode)) {
        if (const auto told = co_await refresh_links(ctx, inode)) attr = *told;
    }
    // It may have forgotten the inode meanwhile, that it had by another lookup.
    inode = inodes_.get(reply->handle, *attr);
    if (!inode) co_return core::Error(ENFILE);
    if (!inode->attrs.has_attr()) learn(inode, *attr, asked_attr);
    if (!is_overtaken()) inodes_.add_name(parent, name, inode);
    inode->looked_up = now();
    co_return entry(*parent, inode, *attr);
}

core::Task<core::Result<nfs::LinkReply>> Filesystem::link_call(
    nfs::CallContext context, InodeRef inode, InodeRef parent, std::string name
) {
    parent->attrs.begin_change();
    inode->attrs.begin_change();
    auto reply = co_await deps_.client.link(context, inode->handle, parent->handle, name);
    finish_change(parent, reply ? reply->dir : nfs::Wcc{});
    finish_change(inode, {std::nullopt, reply ? reply->attr : std::nullopt});
    co_return reply;
}

core::Task<core::Result<Entry>> Filesystem::link(
    Caller caller, InodeId id, InodeId parent_id, std::string name
) {
    const auto admitted = admit(caller, id, Purpose::change);
    if (!admitted) co_return admitted.error();
    const auto found_parent = enter(caller, parent_id);
    if (!found_parent) co_return found_parent.error();
    const auto inode = admitted->inode;
    const auto parent = *found_parent;
    const auto ctx = admitted->context;
    auto locking = changing_names_.lock({parent->id, name});
    const auto lock = co_await locking;
    const auto reply = co_await link_call(ctx, inode, parent, name);
    if (!reply) {
        on_surprise(*parent, reply.error());
        co_return reply.error();
    }
    inodes_.add_name(parent, name, inode);
    const auto refreshed = co_await refresh(ctx, inode);
    if (!refreshed) co_return refreshed.error();
    co_return entry(*parent, inode, *refreshed);
}

core::Task<core::Result<InodeRef>> Filesystem::named(
    nfs::CallContext context, InodeRef parent, std::string name
) {
    auto child = inodes_.child(*parent, name);
    // Names are not in the arena; only what is open must not be removed by one that is not known.
    const bool may_be_open = !nameless_opens_.empty() || nameless_opening_ > 0;
    if (!child && (may_be_open || !unsettled_silly_.empty())) {
        const auto found = co_await deps_.client.lookup(context, parent->handle, name);
        if (found) child = inodes_.find(found->handle);
        if (child) inodes_.add_name(parent, name, child);
    }
    if (child && unsettled_silly_.contains(child->id)) {
        const auto settled = co_await settle_silly(child);
        if (!settled) co_return settled.error();
    }
    co_return child;
}

core::Task<core::Result<nfs::LookupReply>> Filesystem::look(
    nfs::CallContext context, InodeRef parent, std::string name
) {
    auto found = co_await deps_.client.lookup(context, parent->handle, name);
    if (!found || found->attr) co_return found;
    const auto attr = co_await deps_.client.getattr(context, found->handle);
    if (!attr) co_return attr.error();
    found->attr = *attr;
    co_return found;
}

core::Task<core::Result<nfs::RenameReply>> Filesystem::rename_call(
    nfs::CallContext context,
    InodeRef from_parent,
    std::string from_name,
    InodeRef to_parent,
    std::string to_name
) {
    from_parent->attrs.begin_change();
    to_parent->attrs.begin_change();
    // A repeated RENAME whose first answer was lost is told from a failed one by what was moved.
    const auto source = inodes_.child(*from_parent, from_name);
    auto fileid = context.progress.planned();
    if (fileid) {
        // Nor does it stand under its old name any more when a worker before this one moved it.
    } else if (source && source->attrs.has_attr()) {
        fileid = source->attrs.attr().fileid;
    } else {
        const auto found = co_await look(context, from_parent, from_name);
        if (found) fileid = found->attr->fileid;
    }
    if (fileid) context.progress.plan(*fileid);
    auto reply = co_await deps_.client.rename(
        context, from_parent->handle, from_name, to_parent->handle, to_name, fileid
    );
    finish_change(from_parent, reply ? reply->from_dir : nfs::Wcc{});
    finish_change(to_parent, reply ? reply->to_dir : nfs::Wcc{});
    if (!reply) {
        on_surprise(*from_parent, reply.error());
        on_surprise(*to_parent, reply.error());
    } else {
        const auto moved = inodes_.child(*from_parent, from_name);
        inodes_.remove_name(from_parent, from_name);
        inodes_.remove_name(to_parent, to_name);
        if (!moved && to_parent->known) to_parent->known->changed(to_name);
        if (moved) {
            moved->attrs.expect_ctime_change();
            inodes_.add_name(to_parent, to_name, moved);
        }
    }
    co_return reply;
}

core::Task<bool> Filesystem::was_moved(
    nfs::CallContext context,
    InodeRef from_parent,
    std::string from_name,
    InodeRef to_parent,
    std::string to_name
) {
    const auto fileid = context.progress.planned();
    if (!fileid) co_return false;
    const auto left = co_await deps_.client.lookup(context, from_parent->handle, from_name);
    if (left || left.error().code() != ENOENT) co_return false;
    const auto found = co_await look(context, to_parent, to_name);
    if (!found || found->attr->fileid != *fileid) co_return false;
    from_parent->attrs.expire();
    to_parent->attrs.expire();
    inodes_.remove_name(from_parent, from_name);
    inodes_.remove_name(to_parent, to_name);
    if (const auto moved = inodes_.find(found->handle)) {
        moved->attrs.expire();
        inodes_.add_name(to_parent, to_name, moved);
    }
    co_return true;
}

core::Task<void> Filesystem::drop_if_gone(nfs::CallContext context, InodeRef inode) {
    if (inode->opens > 0 || !inode->file || inode->file->extents.empty()) co_return;
    // How many names it had is what we knew last; it may live on under one that another client
    // made.
    const bool is_counted = inode->attrs.has_attr() && inode->attrs.attr().nlink > 0;
    const auto found = co_await fetch(context, inode);
    const bool is_gone = found ? is_counted && found->nlink == 0 : found.error().code() == ESTALE;
    if (is_gone) writer_.forget(inode);
}

core::Task<core::Result<void>> Filesystem::unlink(
    Caller caller, InodeId parent_id, std::string name
) {
    const auto admitted = admit(caller, parent_id, Purpose::change);
    if (!admitted) co_return admitted.error();
    const auto parent = admitted->inode;
    const auto ctx = admitted->context;
    auto locking = changing_names_.lock({parent->id, name});
    const auto lock = co_await locking;
    const auto found = co_await named(ctx, parent, name);
    if (!found) co_return found.error();
    const auto child = *found;
    if (must_stay(child)) {
        const auto hidden = co_await make_silly(ctx, parent, name, child, Silly::moved);
        if (!hidden) co_return hidden.error();
        co_return core::Result<void>();
    }
    const bool is_silly = is_silly_name(child, *parent, name);
    if (is_silly && child->opens > 0) co_return core::Error(EBUSY);  // as the kernel's client
    while (is_silly && parent->removals > 0) co_await removals_.ended.wait();
    // Bytes for a file that nobody can open any more need not travel.
    const bool has_bytes = child && child->opens == 0 && child->file;
    if (has_bytes) writer_.pause(child);
    const Removal removal(removals_, child, *parent, name);
    parent->attrs.begin_change();
    const auto reply = co_await deps_.client.remove(ctx, parent->handle, name);
    finish_change(parent, reply ? *reply : nfs::Wcc{});
    if (reply) {
        inodes_.remove_name(parent, name);
        if (child) {
            child->unlinked = Inode::Unlinked::yes;
            child->attrs.expect_ctime_change();
        }
    }
    if (has_bytes) {
        if (reply) co_await drop_if_gone(ctx, child);
        writer_.resume(child);
    }
    if (!reply) {
        on_surprise(*parent, reply.error());
        // What was to be removed went with its last close.
        if (is_silly && reply.error().code() == ENOENT) co_return core::Result<void>();
        co_return reply.error();
    }
    co_return core::Result<void>();
}

core::Task<core::Result<void>> Filesystem::rmdir(
    Caller caller, InodeId parent_id, std::string name
) {
    const auto admitted = admit(caller, parent_id, Purpose::change);
    if (!admitted) co_return admitted.error();
    const auto parent = admitted->inode;
    const auto ctx = admitted->context;
    auto locking = changing_names_.lock({parent->id, name});
    const auto lock = co_await locking;
    if (silly_removals_ > 0) co_await silly_names_gone(ctx, parent, name);
    parent->attrs.begin_change();
    const auto reply = co_await deps_.client.rmdir(ctx, parent->handle, name);
    finish_change(parent, reply ? *reply : nfs::Wcc{});
    if (!reply) {
        on_surprise(*parent, reply.error());
        co_return reply.error();
    }
    if (const auto child = inodes_.child(*parent, name)) {
        child->unlinked = Inode::Unlinked::yes;
        child->attrs.expire();
    }
    inodes_.remove_name(parent, name);
    co_return core::Result<void>();
}

core::Task<core::Result<void>> Filesystem::rename(
    Caller caller,
    InodeId from_id,
    std::string from_name,
    InodeId to_id,
    std::string to_name,
    RenameMode mode
) {
    const auto admitted = admit(caller, from_id, Purpose::change);
    if (!admitted) co_return admitted.error();
    const auto found_to = enter(caller, to_id);
    if (!found_to) co_return found_to.error();
    // NFSv3 has neither; programs fall back on EINVAL (renameat2(2)).
    if (mode != RenameMode::replace) co_return core::Error(EINVAL);
    const auto from = admitted->inode;
    const auto to = *found_to;
    const auto ctx = admitted->context;
    auto locking = changing_names_.lock({from->id, from_name}, NameLocks::Name(to->id, to_name));
    const auto lock = co_await locking;
    if (ctx.progress.was_sent()) {
        auto asking = was_moved(ctx, from, from_name, to, to_name);
        if (co_await asking) co_return core::Result<void>();
    }
    const auto found_moved = co_await named(ctx, from, from_name);
    if (!found_moved) co_return found_moved.error();
    const auto found_target = co_await named(ctx, to, to_name);
    if (!found_target) co_return found_target.error();
    const auto moved = *found_moved;
    const auto target = *found_target;
    if (is_silly_name(target, *to, to_name)) co_return core::Error(EBUSY);
    // A directory replaces an empty one: as rmdir().
    if (silly_removals_ > 0 && (!moved || moved->is_directory())) {
        co_await silly_names_gone(ctx, to, to_name);
    }
    const bool revived = is_silly_name(moved, *from, from_name);
    const bool hide_target = must_stay(target) && target != moved;
    // Who opens the target meanwhile finds it under its silly name, or looks the name up again.
    const Removal removal(removals_, target, *to, to_name);
    auto how = Silly::added;
    if (hide_target) {
        const auto wanted = how_to_hide(*to, *target, ctx);
        const auto hidden = co_await make_silly(ctx, to, to_name, target, wanted);
        if (!hidden && hidden.error().code() != ENOENT) co_return hidden.error();
        if (hidden) how = *hidden;
    }
    const auto reply = co_await rename_call(ctx, from, from_name, to, to_name);
    if (!reply) {
        if (hide_target && target->silly) co_await undo_silly(ctx, to, to_name, target, how);
        co_return reply.error();
    }
    if (moved) writer_.note_attributes(*moved);
    if (target) {
        target->attrs.expect_ctime_change();
        if (target != moved) target->unlinked = Inode::Unlinked::yes;
        if (target != moved) co_await drop_if_gone(ctx, target);
    }
    // Somebody saved a removed file by giving it a name again.
    if (revived && moved->silly) forget_silly(moved);
    co_return core::Result<void>();
}

}  // namespace uidnfs::fs
