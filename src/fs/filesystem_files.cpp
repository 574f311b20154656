// SPDX-License-Identifier: Apache-2.0
// Files: open to release, with close-to-open consistency: an open asks the server, a close waits
// for it.
#include "core/log.hpp"
#include "fs/filesystem.hpp"
#include "fs/reader.hpp"

#include <fcntl.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace uidnfs::fs {
namespace {

/// FMODE_EXEC of the kernel's include/linux/fs.h: the open of an execve(2).
constexpr int kOpenForExec = 0x20;
constexpr std::uint64_t kPageMask = 4095;

nfs::AccessBits needed_for(int flags) noexcept {
    if (flags & kOpenForExec) return nfs::kAccessExecute;
    nfs::AccessBits needed = 0;
    const int mode = flags & O_ACCMODE;
    if (mode == O_RDONLY || mode == O_RDWR) needed |= nfs::kAccessRead;
    if (mode == O_WRONLY || mode == O_RDWR) needed |= nfs::kAccessModify | nfs::kAccessExtend;
    if (flags & O_TRUNC) needed |= nfs::kAccessModify;
    return needed;
}

/// Bytes may have left as UNSTABLE already, with others: a durable write waits for their COMMIT
/// then.
Writer::Reach reach_of(nfs::Stability stability) noexcept {
    return stability == nfs::Stability::unstable ? Writer::Reach::server : Writer::Reach::disk;
}

bool is_append(int flags) noexcept { return (flags & O_APPEND) && (flags & O_ACCMODE) != O_RDONLY; }

}  // namespace

std::uint64_t Filesystem::largest_file() const noexcept {
    constexpr std::uint64_t kOffT = INT64_MAX;
    const auto server = deps_.client.fs_info().max_file_size;
    return server == 0 ? kOffT : std::min(server, kOffT);
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
    if (is_append(flags)) reply.caching = Caching::direct;
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
    }
    return reply;
}

core::Task<core::Result<nfs::AccessBits>> Filesystem::open_rights(
    nfs::CallContext context, InodeRef inode
) {
    if (options_.close_to_open == CloseToOpen::off && inode->attrs.is_fresh(now())) {
        co_return co_await rights(std::move(context), std::move(inode));
    }
    co_await paid(inode);
    const auto asked = inode->attrs.token();
    const auto reply = co_await deps_.client.open(context, inode->handle, nfs::kAccessAll);
    if (!reply) {
        on_error(*inode, reply.error());
        co_return reply.error();
    }
    learn(inode, reply->attr, asked);
    remember_rights(*inode, context, reply->granted);
    co_return reply->granted;
}

core::Task<core::Result<OpenReply>> Filesystem::open(Caller caller, InodeId id, int flags) {
    const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
    const auto admitted = admit(caller, id, writes ? Purpose::change : Purpose::look);
    if (!admitted) co_return admitted.error();
    const auto inode = admitted->inode;
    const auto ctx = admitted->context;
    // Who removes the file finds that it is in use, or is through with it.
    while (inode->removals > 0) co_await removed_.wait();
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

bool Filesystem::may_read_ahead(const OpenFile& file) const noexcept {
    // Whoever asks for direct or synchronous access wants to hear the server each time.
    if (ahead_->believed == core::SteadyDuration(0) || is_append(file.flags)) return false;
    if (file.flags & (O_DIRECT | O_SYNC | O_DSYNC)) return false;
    return !file.inode->file || file.inode->file->extents.empty();
}

ReadAhead& Filesystem::ahead_of(OpenFile& file) {
    if (!file.ahead) {
        file.ahead = std::make_unique<ReadAhead>(ahead_, file.inode, file.context, file.ref);
    }
    return *file.ahead;
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
        if (!made) co_return made.error();
        co_return Created{std::move(*made)};
    }
    // The verifier tells a repetition of this call from somebody else's file.
    const auto unique = context.progress.planned().value_or(boot_nonce_ + ++counter_);
    const auto verifier = std::bit_cast<nfs::Verifier>(unique);
    context.progress.plan(unique);
    core::Result<nfs::CreateReply> reply = core::Error(EEXIST);
    if (const auto made = context.progress.made()) {
        // A worker before this one had the answer, and may have overwritten the verifier.
        const auto looked = co_await deps_.client.lookup(context, parent->handle, name);
        const bool is_ours =
            looked && (*made == 0 || (looked->attr && looked->attr->fileid == *made));
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

core::Task<core::Result<CreateReply>> Filesystem::create(
    Caller caller, InodeId parent_id, std::string name, mode_t mode, int flags
) {
    const auto admitted = admit(caller, parent_id, Purpose::change);
    if (!admitted) co_return admitted.error();
    const auto parent = admitted->inode;
    const auto ctx = admitted->context;
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

core::Task<core::Result<void>> Filesystem::cut(
    nfs::CallContext context, InodeRef inode, nfs::OpenRef open, nfs::SetAttr attributes
) {
    auto& file = writer_.state_of(*inode);
    const auto lock = co_await file.order.lock();
    // What was written before must not change mode, size or times afterwards. Mode and times are
    // set by who is about to close (tar, cp): the WRITE can save that the COMMIT.
    const bool closes = options_.commit_on == CommitOn::close && !attributes.size;
    const auto reach = closes && writer_.is_one_sync(*inode) ? Writer::Reach::disk
                                                             : Writer::Reach::server;
    co_await writer_.flush(inode, reach, nfs::Stability::unstable);
    co_await writer_.hold(inode);
    const auto changed = co_await change(std::move(context), inode, open, attributes);
    // Uncommitted bytes behind the cut must not be sent again after a restart of the server. If it
    // refused the cut, they must.
    if (attributes.size && changed) writer_.truncate(inode, *attributes.size);
    writer_.resume(inode);
    if (!changed) co_return changed.error();
    co_return core::Result<void>();
}

nfs::Stability Filesystem::stability_of(const OpenFile& file) const noexcept {
    const bool durable =
        options_.write_mode == WriteMode::sync || (file.flags & (O_SYNC | O_DSYNC | O_DIRECT));
    return durable ? nfs::Stability::file_sync : nfs::Stability::unstable;
}

core::Task<core::Result<ReadData>> Filesystem::read(
    OpenId open, std::uint64_t offset, std::size_t size
) {
    const auto file = opens_.find(open);
    if (!file) co_return core::Error(EBADF);
    if (is_denied()) co_return core::Error(EACCES);
    const auto inode = file->inode;
    co_await paid(inode);
    page_watch_.note(inode, file->context);
    std::vector<ExtentMap::Piece> held;
    std::optional<std::uint64_t> server_end;
    if (may_read_ahead(*file)) {
        auto reading = ahead_of(*file).read(offset, size);
        auto found = co_await reading;
        if (found.error) co_return *found.error;
        held = std::move(found.pieces);
        server_end = found.server_end;
    } else if (file->ahead) {
        file->ahead->drop();
    }
    if (inode->file && !inode->file->extents.empty()) {
        server_end.reset();
        held = inode->file->extents.within(offset, size);
        if (held.size() > Reader::kMaxPieces) {
            co_await writer_.flush(inode, Writer::Reach::disk, nfs::Stability::unstable);
            held.clear();
        }
    }
    const auto asked = inode->attrs.token();
    Reader reader(
        {deps_.reactor,
         deps_.client,
         [this, inode, asked](const nfs::Attr& attr) { learn(inode, attr, asked); }},
        file->context,
        file->ref
    );
    co_return co_await reader.run(offset, size, std::move(held), inode->local_end(), server_end);
}

core::Task<core::Result<std::size_t>> Filesystem::append(
    OpenFileRef file, core::Slice data, nfs::Stability stability, core::Progress progress
) {
    const auto inode = file->inode;
    const auto size = data.size();
    const auto lock = co_await writer_.state_of(*inode).order.lock();
    co_await writer_.flush(inode, Writer::Reach::server, nfs::Stability::unstable);
    // The kernel's idea of the end may be old: the server knows where the file ends.
    auto fetched = co_await fetch(file->context, inode);
    if (fetched && inode->attrs.attr().size < inode->local_end()) {
        // It was cut by somebody else, or the server restarted and lost bytes: the COMMIT tells.
        co_await writer_.flush(inode, Writer::Reach::disk, nfs::Stability::unstable);
        fetched = co_await fetch(file->context, inode);
    }
    if (!fetched) co_return fetched.error();
    // A worker before this one may have put the bytes there already; where it only meant to,
    // somebody else may have been there since.
    const auto before = progress.was_sent() ? progress.planned() : std::nullopt;
    const auto end = before.value_or(inode->attrs.attr().size);
    progress.plan(end);
    const WriteContext as{file->ref, file->context};
    const auto put =
        co_await writer_.put(inode, as, end, std::move(data), WriteOrigin::application);
    if (!put) co_return put.error();
    progress.note_sent();
    co_await writer_.flush(inode, reach_of(stability), stability);
    if (const int code = take_error(*file)) co_return core::Error(code);
    // A page of another open file that reached beyond the old end holds zeros there.
    if (inode->opens > 1) {
        deps_.invalidator.inode(inode->id, static_cast<std::int64_t>(end & ~kPageMask), 0);
    }
    co_return size;
}

core::Task<core::Result<std::size_t>> Filesystem::write(
    OpenId open, std::uint64_t offset, core::Slice data, WriteOrigin origin, core::Progress progress
) {
    const auto file = opens_.find(open);
    if (!file) co_return core::Error(EBADF);
    if (options_.writable == Writable::no) co_return core::Error(EROFS);
    const auto inode = file->inode;
    const auto size = data.size();
    if (is_denied()) {
        if (origin == WriteOrigin::page_cache) note_refused(*inode, offset, size);
        take_error(*file);  // this is how it hears of earlier bytes
        co_return core::Error(EACCES);
    }
    if (size == 0) co_return size;
    const auto largest = largest_file();
    if (offset > largest || size > largest - offset) co_return core::Error(EFBIG);
    auto& state = writer_.state_of(*inode);
    const auto stability = stability_of(*file);
    // What was written can be read from the kernel's pages.
    const bool has_reader = (file->flags & O_ACCMODE) != O_WRONLY || inode->opens > 1;
    if (has_reader) page_watch_.note(inode, file->context);
    // An error of earlier bytes is told as soon as there is somebody to tell.
    if (origin == WriteOrigin::application) {
        if (const int code = take_error(*file)) co_return core::Error(code);
    }
    if (is_append(file->flags) && origin == WriteOrigin::application) {
        co_return co_await append(file, std::move(data), stability, progress);
    }
    const WriteContext as{file->ref, file->context};
    const auto put = co_await writer_.put(inode, as, offset, std::move(data), origin);
    if (!put) co_return put.error();
    const bool through = state.mode == FileState::Mode::through;
    if (origin == WriteOrigin::application && (stability != nfs::Stability::unstable || through)) {
        co_await writer_.flush(inode, reach_of(stability), stability);
        if (const int code = take_error(*file)) co_return core::Error(code);
    } else {
        writer_.kick(inode, offset);
    }
    co_return size;
}

core::Task<core::Result<void>> Filesystem::sync_file(OpenFileRef file, Writer::Reach reach) {
    const auto inode = file->inode;
    co_await writer_.flush(inode, reach, nfs::Stability::unstable);
    co_await paid(inode);
    if (const int code = take_error(*file)) co_return core::Error(code);
    if (is_denied()) co_return core::Error(EACCES);
    co_return core::Result<void>();
}

int Filesystem::take_error(OpenFile& file) {
    // That it was told is recorded with the next call only: whether this reply arrives, a worker
    // that dies cannot know, and twice is better than never.
    inodes_.record_error(*file.inode);
    opens_.record_seen(file);
    return file.inode->write_error.take(file.error_seen);
}

core::Task<core::Result<void>> Filesystem::flush(OpenId open) {
    const auto file = opens_.find(open);
    if (!file) co_return core::Error(EBADF);
    const auto reach =
        options_.commit_on == CommitOn::close ? Writer::Reach::disk : Writer::Reach::server;
    co_return co_await sync_file(file, reach);
}

core::Task<core::Result<void>> Filesystem::fsync(OpenId open) {
    const auto file = opens_.find(open);
    if (!file) co_return core::Error(EBADF);
    co_return co_await sync_file(file, Writer::Reach::disk);
}

core::Task<void> Filesystem::release(OpenId open) {
    const auto file = opens_.find(open);
    if (!file) co_return;
    const auto inode = file->inode;
    co_await paid(inode);
    inodes_.record_error(*inode);
    opens_.remove(file);
    nameless_opens_.erase(open);
    const auto ctx = file->context;
    const auto closed = co_await deps_.client.close(ctx, file->ref);
    if (!closed) core::log::debug("close: {}", core::to_string(closed.error()));
    if (inode->is_in_use()) co_return;
    if (inode->silly) co_await remove_silly(ctx, inode);
    inodes_.drop_if_unused(inode);
}

}  // namespace uidnfs::fs
