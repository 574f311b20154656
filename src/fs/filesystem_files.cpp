// SPDX-License-Identifier: Apache-2.0
// Files: what is done with an open one until its release: reading, writing, and a close that waits
// for the server.
#include "core/log.hpp"
#include "fs/filesystem.hpp"
#include "fs/page.hpp"
#include "fs/reader.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace uidnfs::fs {
namespace {

/// Bytes may have left as UNSTABLE already, with others: a durable write waits for their COMMIT
/// then.
Writer::Reach reach_of(nfs::Stability stability) noexcept {
    return stability == nfs::Stability::unstable ? Writer::Reach::server : Writer::Reach::disk;
}

/// A WRITE sets the mtime, and takes setuid and setgid away.
bool is_undone_by_a_write(const nfs::SetAttr& attributes) noexcept {
    return attributes.mode || attributes.uid || attributes.gid ||
           attributes.mtime.how == nfs::TimeChange::How::client_time;
}

}  // namespace

std::uint64_t Filesystem::largest_file() const noexcept {
    constexpr std::uint64_t kOffT = INT64_MAX;
    const auto server = deps_.client.fs_info().max_file_size;
    return server == 0 ? kOffT : std::min(server, kOffT);
}

bool Filesystem::may_read_ahead(const OpenFile& file) const noexcept {
    // Whoever asks for direct or synchronous access wants to hear the server each time.
    if (ahead_->believed == core::SteadyDuration(0) || file.appends()) return false;
    if (file.flags & (O_DIRECT | O_SYNC | O_DSYNC)) return false;
    return !file.inode->file || file.inode->file->extents.empty();
}

ReadAhead& Filesystem::ahead_of(OpenFile& file) {
    if (!file.ahead) {
        file.ahead = std::make_unique<ReadAhead>(ahead_, file.inode, file.context, file.ref);
    }
    return *file.ahead;
}

core::Task<core::Result<nfs::Attr>> Filesystem::cut(
    nfs::CallContext context, InodeRef inode, nfs::OpenRef open, nfs::SetAttr attributes
) {
    auto& file = writer_.state_of(*inode);
    const auto lock = co_await file.order.lock();
    // What was written before must not change them afterwards, nor when the server restarts and is
    // sent it again. Who sets them is about to close (tar, cp), and need not wait then.
    const bool to_disk = options_.commit_on == CommitOn::close && is_undone_by_a_write(attributes);
    const auto reach = to_disk ? Writer::Reach::disk : Writer::Reach::server;
    co_await writer_.flush(inode, reach, nfs::Stability::unstable);
    co_await writer_.hold(inode);
    // Once its caller was killed the kernel lets others write while the server has not answered.
    const auto moment = file.extents.mark();
    const auto done = co_await set(context, inode, open, attributes);
    // Uncommitted bytes behind the cut must not be sent again after a restart of the server. If it
    // refused the cut, they must.
    if (attributes.size && done) writer_.truncate(inode, *attributes.size, moment);
    core::Result<nfs::Attr> told = core::Error();
    if (done) {
        told = co_await refresh(std::move(context), inode);
    } else {
        told = done.error();
    }
    writer_.resume(inode);
    co_return told;
}

nfs::Stability Filesystem::stability_of(int flags) const noexcept {
    const bool durable =
        options_.write_mode == WriteMode::sync || (flags & (O_SYNC | O_DSYNC | O_DIRECT));
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
    if (inode->rereads) inode->rereads->note_read(now(), offset, size);
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
    co_await writer_.catch_up(inode);
    if (inode->file && !inode->file->extents.empty()) {
        server_end.reset();
        held = inode->file->extents.within(offset, size);
        if (held.size() > Reader::kMaxPieces) {
            co_await writer_.flush(inode, Writer::Reach::disk, nfs::Stability::unstable);
            held.clear();
        }
    }
    const auto asked = AttrCache::token();
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
    OpenFileRef file,
    std::uint64_t offset,
    core::Slice data,
    nfs::Stability stability,
    core::Progress progress
) {
    const auto inode = file->inode;
    const auto size = data.size();
    // A worker that died may have put the bytes there and not come to say so.
    const auto planned = progress.planned();
    const bool was_put =
        progress.was_sent() || (planned && writer_.state_of(*inode).extents.holds(*planned, data));
    if (was_put) progress.note_sent();
    const auto lock = co_await writer_.state_of(*inode).order.lock();
    co_await writer_.flush(inode, Writer::Reach::server, nfs::Stability::unstable);
    // The kernel's idea of the end may be old: the server knows where the file ends.
    const auto own_end = inode->local_end();
    auto fetched = co_await fetch(file->context, inode);
    if (fetched && fetched->size < std::max(own_end, inode->local_end())) {
        // It was cut by somebody else, or the server restarted and lost bytes: the COMMIT tells.
        co_await writer_.flush(inode, Writer::Reach::disk, nfs::Stability::unstable);
        fetched = co_await fetch(file->context, inode);
    }
    if (!fetched) co_return fetched.error();
    // Where a worker before this one only meant to, somebody else may have been there since.
    const auto end = was_put && planned ? *planned : fetched->size;
    // Nor has a file bytes where only a server that lies says that it ends.
    const auto largest = largest_file();
    if (end > largest || size > largest - end) co_return core::Error(EFBIG);
    progress.plan(end);
    const WriteContext as{file->ref, file->context};
    const auto put =
        co_await writer_.put(inode, as, end, std::move(data), WriteOrigin::application);
    if (!put) co_return put.error();
    progress.note_sent();
    co_await writer_.flush(inode, reach_of(stability), stability);
    if (const int code = take_error(*file)) co_return core::Error(code);
    // A page of another open file that reached beyond the old end holds zeros there; where the file
    // was not opened for appending, one holds these bytes where the kernel believed the end to be.
    if (inode->opens > 1 || (end != offset && !file->appends())) {
        drop_pages(inode, page_of(std::min(end, offset)), 0);
    }
    co_return size;
}

core::Task<core::Result<std::size_t>> Filesystem::write(
    OpenId open,
    std::uint64_t offset,
    core::Slice data,
    WriteOrigin origin,
    core::Progress progress,
    std::optional<int> flags
) {
    const auto file = opens_.find(open);
    if (!file) co_return core::Error(EBADF);
    if (options_.writable == Writable::no) co_return core::Error(EROFS);
    const auto inode = file->inode;
    const Kept kept(inodes_, inode);
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
    const int how = flags.value_or(file->flags);
    const auto stability = stability_of(how);
    // What was written can be read from the kernel's pages.
    const bool has_reader = (file->flags & O_ACCMODE) != O_WRONLY || inode->opens > 1;
    if (has_reader) page_watch_.note(inode, file->context);
    // An error of earlier bytes is told as soon as there is somebody to tell.
    if (origin == WriteOrigin::application) {
        if (const int code = take_error(*file)) co_return core::Error(code);
    }
    if ((how & O_APPEND) && origin == WriteOrigin::application) {
        auto appending = append(file, offset, std::move(data), stability, progress);
        const auto appended = co_await appending;
        // Of a page that was read while the bytes were on their way the kernel would show zeros as
        // soon as it knows the new end.
        if (file->appends() && inode->opens > 1) {
            auto gone = deps_.invalidator.pages_gone(deps_.reactor, inode->id);
            co_await gone;
        }
        co_return appended;
    }
    const WriteContext as{file->ref, file->context};
    // Once the caller of a cut was killed the kernel lets others write before it is done, and once
    // that of a write was killed it lets others cut before there is room for the bytes.
    std::optional<core::Mutex::Lock> turn;
    if (origin == WriteOrigin::application) {
        auto waiting = state.order.lock();
        turn.emplace(co_await waiting);
    }
    const auto put = co_await writer_.put(inode, as, offset, std::move(data), origin);
    turn.reset();
    if (!put) co_return put.error();
    // Opened for appending, which passes the kernel's pages by: other open files have old ones.
    if (file->appends() && origin == WriteOrigin::application && inode->opens > 1) {
        drop_pages(inode, offset, size);
        auto gone = deps_.invalidator.pages_gone(deps_.reactor, inode->id);
        co_await gone;
    } else if (inode->rereads && origin == WriteOrigin::application) {
        // No drop that is noted: a program that reads and writes the same pages would lose them for
        // ever.
        if (const auto doubted = inode->rereads->in_doubt(now(), offset, size)) {
            deps_.invalidator.inode(
                inode->id,
                static_cast<std::int64_t>(doubted->offset),
                static_cast<std::int64_t>(doubted->length)
            );
        }
    }
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
    if (inode->owed_mode) {
        opens_.record_going(*file);  // who asks for this may not ask the next worker
        co_await paid(inode);
    }
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
