// SPDX-License-Identifier: Apache-2.0
// Files: open to release, with close-to-open consistency: an open asks the server, a close waits for it.
#include "core/log.hpp"
#include "fs/filesystem.hpp"

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

bool is_append(int flags) noexcept {
    return (flags & O_APPEND) && (flags & O_ACCMODE) != O_RDONLY;
}

/// One READ of a larger read; the parts are in flight together.
struct Part {
    std::uint64_t offset = 0;
    std::uint32_t size = 0;
    std::vector<core::Slice> pieces;
    std::size_t got = 0;
    std::optional<core::Error> error;
};

}  // namespace

core::Result<OpenReply> Filesystem::add_open(
    const nfs::CallContext& context, const InodeRef& inode, OpenKind kind, int flags
) {
    const auto file = opens_.add(inode, kind, flags);
    if (!file) return core::Error(ENFILE);
    file->ref.handle = inode->handle;
    file->context = context;
    OpenReply reply{file->id, Pages::drop, Caching::pages};
    if (kind == OpenKind::directory) {
        file->directory = std::make_unique<DirStream>(cursor_records_, file->id);
        return reply;
    }
    if (is_append(flags)) reply.caching = Caching::direct;
    if (inode->attrs.has_attr()) {
        const auto stamp = stamp_of(inode->attrs.attr());
        const bool trusted = inode->pages && inode->pages->stamp == stamp &&
                             inode->pages->age == PageStamp::Age::settled;
        if (trusted) reply.pages = Pages::keep;
        // Whatever the kernel reads from now on belongs to this stamp.
        inode->pages = PageStamp{stamp, PageStamp::Age::young};
        settle_pages(*inode);
    }
    return reply;
}

core::Task<core::Result<OpenReply>> Filesystem::open(Caller caller, InodeId id, int flags) {
    const auto found = enter(caller, id);
    if (!found) co_return found.error();
    const auto inode = *found;
    const auto ctx = context(caller);
    const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
    if (writes && options_.writable == Writable::no) co_return core::Error(EROFS);
    nfs::AccessBits granted = 0;
    if (options_.close_to_open == CloseToOpen::off && inode->attrs.is_fresh(now())) {
        const auto known = co_await rights(ctx, inode);
        if (!known) co_return known.error();
        granted = *known;
    } else {
        const auto asked = inode->attrs.token();
        const auto reply = co_await deps_.client.open(ctx, inode->handle, nfs::kAccessAll);
        if (!reply) co_return reply.error();
        learn(inode, reply->attr, asked);
        remember_rights(*inode, reply->granted);
        granted = reply->granted;
    }
    const auto needed = needed_for(flags);
    if ((granted & needed) != needed) co_return core::Error(EACCES);
    if (flags & O_TRUNC) {
        nfs::SetAttr empty;
        empty.size = 0;
        const auto done = co_await cut(ctx, inode, nfs::OpenRef{inode->handle}, empty);
        if (!done) co_return done.error();
    }
    co_return add_open(ctx, inode, OpenKind::file, flags);
}

core::Task<core::Result<nfs::CreateReply>> Filesystem::create_call(
    nfs::CallContext context, InodeRef parent, std::string name, mode_t mode, int flags
) {
    nfs::SetAttr attributes;
    attributes.mode = mode & 07777;
    if (!(flags & O_EXCL)) {
        if (flags & O_TRUNC) attributes.size = 0;
        co_return co_await deps_.client.create(
            context, parent->handle, name, nfs::CreateHow::unchecked, attributes, nfs::Verifier{}
        );
    }
    if (exclusive_create_ == Support::missing) {
        co_return co_await deps_.client.create(
            context, parent->handle, name, nfs::CreateHow::guarded, attributes, nfs::Verifier{}
        );
    }
    // The verifier tells a repetition of this call from somebody else's file.
    const auto unique = boot_nonce_ + ++counter_;
    const auto verifier = std::bit_cast<nfs::Verifier>(unique);
    auto reply = co_await deps_.client.create(
        context, parent->handle, name, nfs::CreateHow::exclusive, attributes, verifier
    );
    if (!reply) {
        if (reply.error().code() != ENOTSUP) co_return reply.error();
        exclusive_create_ = Support::missing;
        co_return co_await create_call(context, parent, name, mode, flags);
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
    if (!set) co_return set.error();
    reply->attr = set->after;
    co_return reply;
}

core::Task<core::Result<CreateReply>> Filesystem::create(
    Caller caller, InodeId parent_id, std::string name, mode_t mode, int flags
) {
    const auto found = enter(caller, parent_id);
    if (!found) co_return found.error();
    if (options_.writable == Writable::no) co_return core::Error(EROFS);
    const auto parent = *found;
    const auto ctx = context(caller);
    parent->attrs.begin_change();
    auto reply = co_await create_call(ctx, parent, name, mode, flags);
    finish_change(parent, reply ? reply->dir : nfs::Wcc{});
    if (!reply) co_return reply.error();
    const auto made = co_await adopt_created(ctx, parent, name, std::move(*reply));
    if (!made) co_return made.error();
    const auto inode = *made;
    // What was made just now has no old pages.
    if (!inode->pages) inode->pages = PageStamp{stamp_of(inode->attrs.attr())};
    const auto opened = add_open(ctx, inode, OpenKind::file, flags);
    if (!opened) co_return opened.error();
    co_return CreateReply{entry(*parent, inode), *opened};
}

core::Task<core::Result<void>> Filesystem::cut(
    nfs::CallContext context, InodeRef inode, nfs::OpenRef open, nfs::SetAttr attributes
) {
    auto& file = writer_.state_of(*inode);
    const auto lock = co_await file.order.lock();
    if (attributes.size) writer_.truncate(inode, *attributes.size);
    // What was written before must not change mode, size or times afterwards.
    co_await writer_.flush(inode, Writer::Reach::server, nfs::Stability::unstable);
    co_await writer_.hold(inode);
    if (attributes.size) writer_.truncate(inode, *attributes.size);
    const auto changed = co_await change(std::move(context), inode, open, attributes);
    writer_.resume(inode);
    if (!changed) co_return changed.error();
    co_return core::Result<void>();
}

nfs::Stability Filesystem::stability_of(const OpenFile& file) const noexcept {
    const bool durable = options_.write_mode == WriteMode::sync ||
                         (file.flags & (O_SYNC | O_DSYNC | O_DIRECT));
    return durable ? nfs::Stability::file_sync : nfs::Stability::unstable;
}

core::Task<core::Result<ReadData>> Filesystem::read(
    OpenId open, std::uint64_t offset, std::size_t size
) {
    const auto file = opens_.find(open);
    if (!file) co_return core::Error(EBADF);
    const auto inode = file->inode;
    if (inode->file && inode->file->extents.overlaps_unsent(offset, size)) {
        co_await writer_.flush(inode, Writer::Reach::server, nfs::Stability::unstable);
    }
    const auto limit = deps_.client.fs_info().read_max;
    std::vector<Part> parts;
    for (std::size_t done = 0; done < size;) {
        const auto step = static_cast<std::uint32_t>(std::min<std::size_t>(limit, size - done));
        parts.push_back({offset + done, step, {}, 0, std::nullopt});
        done += step;
    }
    auto fetch_part = [](Filesystem& self, OpenFileRef from, Part& part) -> core::Task<void> {
        const auto target = from->inode;
        while (part.got < part.size) {
            const auto asked = target->attrs.token();
            auto reply = co_await self.deps_.client.read(
                from->context,
                from->ref,
                part.offset + part.got,
                part.size - static_cast<std::uint32_t>(part.got)
            );
            if (!reply) {
                part.error = reply.error();
                co_return;
            }
            if (reply->attr) self.learn(target, *reply->attr, asked);
            part.got += reply->data.size();
            const bool nothing = reply->data.empty();
            if (!nothing) part.pieces.push_back(std::move(reply->data));
            if (reply->end == nfs::ReadReply::End::yes || nothing) co_return;
        }
    };
    if (parts.size() == 1) {
        co_await fetch_part(*this, file, parts.front());
    } else {
        core::Event finished(deps_.reactor);
        std::size_t waiting = parts.size();
        auto run = [](core::Task<void> task, std::size_t& left, core::Event& done)
            -> core::Task<void> {
            co_await task;
            if (--left == 0) done.notify_all();
        };
        for (auto& part : parts) {
            core::spawn(run(fetch_part(*this, file, part), waiting, finished));
        }
        while (waiting > 0) co_await finished.wait();
    }
    ReadData data;
    for (auto& part : parts) {
        if (part.error) {
            if (data.pieces.empty()) co_return *part.error;
            break;
        }
        for (auto& piece : part.pieces) data.pieces.push_back(std::move(piece));
        if (part.got < part.size) break;
    }
    co_return data;
}

core::Task<core::Result<std::size_t>> Filesystem::append(
    OpenFileRef file, core::Slice data, nfs::Stability stability
) {
    const auto inode = file->inode;
    const auto size = data.size();
    const auto lock = co_await writer_.state_of(*inode).order.lock();
    co_await writer_.flush(inode, Writer::Reach::server, nfs::Stability::unstable);
    // The kernel's idea of the end may be old: the server knows where the file ends.
    const auto fetched = co_await fetch(file->context, inode);
    if (!fetched) co_return fetched.error();
    const auto end = inode->attrs.attr().size;
    const auto put = co_await writer_.put(inode, end, std::move(data), WriteOrigin::application);
    if (!put) co_return put.error();
    co_await writer_.flush(inode, Writer::Reach::server, stability);
    if (const int code = inode->write_error.take(file->error_seen)) co_return core::Error(code);
    // A page of another open file that reached beyond the old end holds zeros there.
    if (inode->opens > 1) {
        deps_.invalidator.inode(inode->id, static_cast<std::int64_t>(end & ~kPageMask), 0);
    }
    co_return size;
}

core::Task<core::Result<std::size_t>> Filesystem::write(
    OpenId open, std::uint64_t offset, core::Slice data, WriteOrigin origin
) {
    const auto file = opens_.find(open);
    if (!file) co_return core::Error(EBADF);
    if (options_.writable == Writable::no) co_return core::Error(EROFS);
    const auto inode = file->inode;
    const auto size = data.size();
    if (size == 0) co_return size;
    if (offset > static_cast<std::uint64_t>(INT64_MAX) - size) co_return core::Error(EFBIG);
    auto& state = writer_.state_of(*inode);
    state.open = file->ref;
    state.credential = file->context.credential;
    const auto stability = stability_of(*file);
    if (is_append(file->flags) && origin == WriteOrigin::application) {
        co_return co_await append(file, std::move(data), stability);
    }
    const auto put = co_await writer_.put(inode, offset, std::move(data), origin);
    if (!put) co_return put.error();
    const bool through = state.mode == FileState::Mode::through;
    if (origin == WriteOrigin::application &&
        (stability != nfs::Stability::unstable || through)) {
        co_await writer_.flush(inode, Writer::Reach::server, stability);
        if (const int code = inode->write_error.take(file->error_seen)) {
            co_return core::Error(code);
        }
    } else {
        writer_.kick(inode, offset);
    }
    co_return size;
}

core::Task<core::Result<void>> Filesystem::sync_file(OpenFileRef file, Writer::Reach reach) {
    const auto inode = file->inode;
    co_await writer_.flush(inode, reach, nfs::Stability::unstable);
    if (const int code = inode->write_error.take(file->error_seen)) co_return core::Error(code);
    co_return core::Result<void>();
}

core::Task<core::Result<void>> Filesystem::flush(OpenId open) {
    const auto file = opens_.find(open);
    if (!file) co_return core::Error(EBADF);
    const auto reach = options_.commit_on == CommitOn::close ? Writer::Reach::disk
                                                             : Writer::Reach::server;
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
    opens_.remove(file);
    const auto inode = file->inode;
    const auto ctx = file->context;
    const auto closed = co_await deps_.client.close(ctx, file->ref);
    if (!closed) core::log::debug("close: {}", core::to_string(closed.error()));
    if (inode->opens > 0) co_return;
    if (inode->silly) co_await remove_silly(ctx, inode);
    inodes_.drop_if_unused(inode);
}

}  // namespace uidnfs::fs
