// SPDX-License-Identifier: Apache-2.0
// Opens: how a file comes to be open, by open(2) or by being created. The server is asked each time
// (close-to-open), and what it says decides which pages the kernel may keep.
#include "core/log.hpp"
#include "fs/filesystem.hpp"

#include <fcntl.h>

#include <bit>
#include <cerrno>

namespace uidnfs::fs {
namespace {

/// FMODE_EXEC of the kernel's include/linux/fs.h: the open of an execve(2).
constexpr int kOpenForExec = 0x20;

nfs::AccessBits needed_for(int flags) noexcept {
    if (flags & kOpenForExec) return nfs::kAccessExecute;
    nfs::AccessBits needed = 0;
    const int mode = flags & O_ACCMODE;
    if (mode == O_RDONLY || mode == O_RDWR) needed |= nfs::kAccessRead;
    if (mode == O_WRONLY || mode == O_RDWR) needed |= nfs::kAccessModify | nfs::kAccessExtend;
    if (flags & O_TRUNC) needed |= nfs::kAccessModify;
    return needed;
}

/// What servers say of an UNCHECKED CREATE where a link, FIFO or directory has the name that
/// another client made since; others give it (create()).
bool may_be_of_another_type(const core::Error& error) noexcept {
    return error.code() == EEXIST || error.code() == EINVAL;
}

}  // namespace

core::Task<core::Result<OpenReply>> Filesystem::open(Caller caller, InodeId id, int flags) {
    const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
    const auto admitted = admit(caller, id, writes ? Purpose::change : Purpose::look);
    if (!admitted) co_return admitted.error();
    const auto inode = admitted->inode;
    const auto ctx = admitted->context;
    // Who removes the file finds that it is in use, or is through with it.
    while (removals_.may_concern(*inode)) co_await removals_.ended.wait();
    const std::size_t nameless = inode->names.empty() ? 1 : 0;
    nameless_opening_ += nameless;
    ++inode->opening;
    auto opening = open_file(ctx, inode, flags);
    auto opened = co_await opening;
    --inode->opening;
    nameless_opening_ -= nameless;
    if (!inode->is_in_use() && inode->silly) co_await remove_silly(ctx, inode);
    co_return opened;
}

core::Task<core::Result<OpenReply>> Filesystem::open_file(
    nfs::CallContext ctx, InodeRef inode, int flags
) {
    const auto asked = wall_now();
    auto ahead = read_at_open(ctx, inode, flags);
    const auto granted = co_await open_rights(ctx, inode);
    if (!granted) co_return granted.error();
    if (co_await is_without_name(ctx, inode)) {
        const core::Error stale(ESTALE);
        on_error(*inode, stale);
        co_return stale;
    }
    // Close-to-open: somebody else may have written over bytes of ours that are held still.
    co_await writer_.catch_up(inode);
    const auto needed = needed_for(flags);
    if ((*granted & needed) != needed) co_return core::Error(EACCES);
    if (flags & O_TRUNC) {
        nfs::SetAttr empty;
        empty.size = 0;
        const nfs::OpenRef ref{inode->handle};
        const auto done = co_await cut(ctx, inode, ref, empty);
        if (!done) co_return done.error();
    }
    const auto opened = add_open(ctx, inode, OpenKind::file, flags, asked);
    if (opened) opens_.find(opened->open)->ahead = std::move(ahead);
    co_return opened;
}

core::Task<bool> Filesystem::is_without_name(nfs::CallContext context, InodeRef inode) {
    if (!inode->attrs.has_attr() || inode->attrs.attr().nlink > 0) co_return false;
    if (link_counts_ == Support::missing || inode->silly) co_return false;
    const auto names = inode->names;
    for (const auto& known : names) {
        const auto parent = inodes_.find(known.parent);
        if (!parent) continue;
        const auto found = co_await deps_.client.lookup(context, parent->handle, known.name);
        if (!found && (found.error().code() == ENOENT || found.error().code() == ESTALE)) continue;
        if (found && found->handle != inode->handle) continue;
        if (found) link_counts_ = Support::missing;
        co_return false;
    }
    co_return true;
}

std::unique_ptr<ReadAhead> Filesystem::read_at_open(
    const nfs::CallContext& context, const InodeRef& inode, int flags
) {
    constexpr int kOther = O_ACCMODE | O_TRUNC | O_DIRECT | O_SYNC | O_DSYNC | kOpenForExec;
    if ((flags & kOther) != O_RDONLY || !inode->is_regular() || !inode->attrs.has_attr()) {
        return nullptr;
    }
    if (options_.close_to_open == CloseToOpen::off || inode->attrs.is_changing()) return nullptr;
    if (inode->file && !inode->file->extents.empty()) return nullptr;
    // The kernel is likely to have it all.
    const auto& attr = inode->attrs.attr();
    const bool is_kept = inode->in_kernel == InKernel::perhaps && inode->pages &&
                         inode->pages->stamp == stamp_of(attr) &&
                         inode->pages->age == PageStamp::Age::settled;
    if (is_kept || !ReadAhead::wants_small(*ahead_, attr.size)) return nullptr;
    auto ahead = std::make_unique<ReadAhead>(
        ahead_, inode, nfs::CallContext{context.credential}, nfs::OpenRef{inode->handle}
    );
    ahead->begin_small(attr.size);
    return ahead;
}

core::Task<core::Result<CreateReply>> Filesystem::create(
    Caller caller, InodeId parent_id, std::string name, mode_t mode, int flags
) {
    const auto admitted = admit(caller, parent_id, Purpose::change);
    if (!admitted) co_return admitted.error();
    const auto parent = admitted->inode;
    const auto ctx = admitted->context;
    auto locking = changing_names_.lock({parent->id, name});
    const auto lock = co_await locking;
    parent->attrs.begin_change();
    auto created = co_await create_call(ctx, parent, name, mode, flags);
    finish_change(parent, created ? created->reply.dir : nfs::Wcc{});
    if (!created) {
        on_surprise(*parent, created.error());
        co_return created.error();
    }
    const auto made = co_await adopt_created(ctx, parent, name, std::move(created->reply));
    if (!made) co_return made.error();
    const auto inode = *made;
    // Somebody put something else under the name meanwhile, and the server gave that (UNCHECKED):
    // the kernel looks again and opens it as what it is.
    if (!inode->is_regular()) {
        inodes_.drop_if_unused(inode);
        co_return core::Error(ESTALE);
    }
    // What was made just now has no old pages.
    if (!inode->pages) inode->pages = PageStamp{stamp_of(inode->attrs.attr())};
    const auto opened = add_open(ctx, inode, OpenKind::file, flags, wall_now());
    const bool owes = created->attributes == Created::Attributes::owed;
    if (!opened) {
        if (owes) co_await remove_failed_create(ctx, parent, name, inode->handle);
        co_return opened.error();
    }
    if (owes) {
        begin_owed(opens_.find(opened->open), mode & 07777);
    }
    co_return CreateReply{entry(*parent, inode), *opened};
}

core::Task<core::Result<Filesystem::Created>> Filesystem::create_call(
    nfs::CallContext context, InodeRef parent, std::string name, mode_t mode, int flags
) {
    nfs::SetAttr attributes;
    attributes.mode = mode & 07777;
    if (!(flags & O_EXCL)) {
        if (flags & O_TRUNC) attributes.size = 0;
    }
    if (!(flags & O_EXCL) || exclusive_create_ == Support::missing) {
        const auto how =
            flags & O_EXCL ? nfs::CreateHow::guarded : nfs::CreateHow::unchecked;
        auto made = co_await deps_.client.create(
            context, parent->handle, name, how, attributes, nfs::Verifier{}
        );
        if (made) co_return Created{std::move(*made)};
        if ((flags & O_EXCL) || !may_be_of_another_type(made.error())) co_return made.error();
        const auto found = co_await look(context, parent, name);
        if (!found || found->attr->type == nfs::FileType::regular) co_return made.error();
        co_return Created{nfs::CreateReply{found->handle, found->attr, {}}};
    }
    // The verifier tells a repetition of this call from somebody else's file.
    const auto unique = context.progress.planned().value_or(boot_nonce_ + ++counter_);
    const auto verifier = std::bit_cast<nfs::Verifier>(unique);
    context.progress.plan(unique);
    core::Result<nfs::CreateReply> reply = core::Error(EEXIST);
    if (const auto made = context.progress.made()) {
        // A worker before this one had the answer, and may have overwritten the verifier.
        const auto looked = co_await look(context, parent, name);
        const bool is_ours = looked && (*made == 0 || looked->attr->fileid == *made);
        if (is_ours) reply = nfs::CreateReply{looked->handle, looked->attr, {}};
        if (!looked) reply = looked.error();
    } else {
        reply = co_await deps_.client.create(
            context, parent->handle, name, nfs::CreateHow::exclusive, attributes, verifier
        );
        if (reply) context.progress.note_made(reply->attr ? reply->attr->fileid : 0);
    }
    if (!reply) {
        if (reply.error().code() != ENOTSUP) co_return reply.error();
        exclusive_create_ = Support::missing;
        co_return co_await create_call(context, parent, name, mode, flags);
    }
    if (reply->handle && reply->attr && may_owe(flags)) {
        co_return Created{std::move(*reply), Created::Attributes::owed};
    }
    if (!reply->handle) {
        const auto looked = co_await deps_.client.lookup(context, parent->handle, name);
        if (!looked) co_return looked.error();
        reply->handle = looked->handle;
    }
    // The server keeps the verifier in the times: they and the mode are set now (RFC 1813 3.3.8).
    attributes.atime.how = nfs::TimeChange::How::server_time;
    attributes.mtime.how = nfs::TimeChange::How::server_time;
    const nfs::OpenRef ref{*reply->handle};
    const auto set = co_await deps_.client.setattr(context, ref, attributes, std::nullopt);
    if (!set) {
        co_await remove_failed_create(context, parent, name, *reply->handle);
        co_return set.error();
    }
    reply->attr = set->after;
    co_return Created{std::move(*reply)};
}

core::Task<void> Filesystem::remove_failed_create(
    nfs::CallContext context, InodeRef parent, std::string name, nfs::FileHandle handle
) {
    // The caller is told that there is no file: one of mode 0 must not stay in the way. What stands
    // under the name by now may be somebody else's.
    const auto found = co_await deps_.client.lookup(context, parent->handle, name);
    if (!found || found->handle != handle || !found->attr || found->attr->size > 0) co_return;
    const auto removed = co_await deps_.client.remove(context, parent->handle, name);
    if (!removed) {
        core::log::warning(
            "{} was created but its mode could not be set, and it cannot be removed: {}",
            name,
            core::to_string(removed.error())
        );
    }
}

core::Result<OpenReply> Filesystem::add_open(
    const nfs::CallContext& context,
    const InodeRef& inode,
    OpenKind kind,
    int flags,
    WallTime read_since
) {
    const auto credential = ledger_.number_of(context.credential);
    const auto file = credential ? opens_.add(inode, kind, flags, *credential) : nullptr;
    if (!file) return core::Error(ENFILE);
    file->ref.handle = inode->handle;
    file->context.credential = context.credential;
    OpenReply reply{file->id, Pages::drop, Caching::pages};
    if (kind == OpenKind::directory) {
        file->directory = std::make_unique<DirStream>(
            DirStream::Journal{cursor_records_, cookie_records_}, file->id
        );
        return reply;
    }
    // After a take-over the kernel opens files by names that it alone knows.
    if (inode->names.empty()) nameless_opens_.insert(file->id);
    if (file->appends()) reply.caching = Caching::direct;
    if (inode->attrs.has_attr()) {
        const auto stamp = stamp_of(inode->attrs.attr());
        const bool trusted = inode->pages && inode->pages->stamp == stamp &&
                             inode->pages->age == PageStamp::Age::settled;
        if (trusted) reply.pages = Pages::keep;
        // Whatever the kernel reads from now on belongs to this stamp.
        inode->pages = PageStamp{stamp, PageStamp::Age::young};
        settle_pages(*inode, read_since);
    }
    if (reply.pages == Pages::keep) {
        page_watch_.note(inode, file->context);
    } else if (inode->opens == 1) {
        inode->in_kernel = InKernel::no;
    } else {
        note_drop(*inode);
    }
    return reply;
}

}  // namespace uidnfs::fs
