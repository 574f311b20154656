// SPDX-License-Identifier: Apache-2.0
#include "fuse/reply.hpp"

#include "core/pages.hpp"
#include "core/task.hpp"
#include "fuse/glue.hpp"
#include "fuse/libfuse.hpp"

#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace uidnfs::fuse {
namespace {

constexpr int kErrnoEnd = 512;
constexpr std::size_t kPiecesOnStack = 16;
/// IOV_MAX of the kernel, less libfuse's header.
constexpr std::size_t kMaxPieces = 1023;

Delivered delivered(int result) noexcept { return result == 0 ? Delivered::yes : Delivered::no; }

double seconds(fs::Validity validity) noexcept {
    return std::chrono::duration<double>(validity).count();
}

fuse_entry_param to_param(const fs::Entry& entry) noexcept {
    fuse_entry_param param{};
    param.ino = entry.id;
    param.attr = entry.stat;
    param.attr_timeout = seconds(entry.attr_valid);
    param.entry_timeout = seconds(entry.entry_valid);
    return param;
}

/// libfuse shows its conversion to fuse_entry_out only at the beginning of a listing's entry.
fuse_entry_out to_entry_out(const fs::Entry& entry) noexcept {
    alignas(fuse_direntplus) std::array<char, sizeof(fuse_direntplus) + 8> space{};
    const auto param = to_param(entry);
    fuse_add_direntry_plus(nullptr, space.data(), space.size(), "", &param, 0);
    fuse_entry_out out;
    std::memcpy(&out, space.data(), sizeof out);
    return out;
}

/// libfuse 3.14 has no way to ask for FOPEN_PARALLEL_DIRECT_WRITES, so OPEN is answered in the
/// kernel's words. Appends stay serialised: their offset is chosen after asking for the size.
fuse_open_out to_open_out(const fs::OpenReply& reply, int flags) noexcept {
    fuse_open_out out{};
    out.fh = reply.open;
    if (reply.pages == fs::Pages::keep) out.open_flags |= FOPEN_KEEP_CACHE;
    if (reply.caching == fs::Caching::direct) {
        out.open_flags |= FOPEN_DIRECT_IO;
        if (!(flags & O_APPEND)) out.open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
    }
    // Locks are the kernel's own, so closing what only reads concerns nobody else.
    if ((flags & O_ACCMODE) == O_RDONLY) out.open_flags |= FOPEN_NOFLUSH;
    return out;
}

/// More pieces than one writev(2) takes.
Delivered deliver_copy(fuse_req* handle, const fs::ReadData& data) {
    std::vector<char> joined;
    joined.reserve(data.size());
    for (const auto& piece : data.pieces) {
        const auto* bytes = reinterpret_cast<const char*>(piece.data());
        joined.insert(joined.end(), bytes, bytes + piece.size());
    }
    return delivered(fuse_reply_buf(handle, joined.data(), joined.size()));
}

/// A process that is killed while the kernel copies from a page that it has not mapped makes the
/// kernel end the request with EIO. Such are bytes that the worker before this one was given.
void touch_pages(const fs::ReadData& data) noexcept {
    for (const auto& piece : data.pieces) {
        const volatile std::byte* bytes = piece.data();
        for (std::size_t at = 0; at < piece.size(); at += core::kMemoryPage) (void)bytes[at];
        if (piece.size() > 0) (void)bytes[piece.size() - 1];
    }
}

/// libfuse writes the head of the answer, and hands both to the session's writev.
Delivered deliver_piped(fuse_req* handle, const core::Slice& piece) {
    auto& glue = *static_cast<Glue*>(fuse_req_userdata(handle));
    glue.piped = &piece;
    const auto place = piece.place();
    const auto* const bytes = reinterpret_cast<const char*>(place.data());
    const auto result = fuse_reply_buf(handle, bytes, place.size());
    glue.piped = nullptr;
    return delivered(result);
}

iovec to_iovec(const core::Slice& piece) noexcept {
    return {const_cast<std::byte*>(piece.data()), piece.size()};
}

}  // namespace

int kernel_errno(const core::Error& error) noexcept {
    const auto code = error.code();
    if (code == ENOSYS) return EOPNOTSUPP;
    return code > 0 && code < kErrnoEnd ? code : EIO;
}

void deliver_error(fuse_req* handle, int error) {
    if (handle) fuse_reply_err(handle, error);
}

Delivered deliver(fuse_req* handle, const RequestInfo&) {
    return delivered(fuse_reply_err(handle, 0));
}

Delivered deliver(fuse_req* handle, const RequestInfo&, const fs::Entry& entry) {
    const auto param = to_param(entry);
    return delivered(fuse_reply_entry(handle, &param));
}

Delivered deliver(fuse_req* handle, const RequestInfo&, const fs::AttrReply& reply) {
    return delivered(fuse_reply_attr(handle, &reply.stat, seconds(reply.attr_valid)));
}

Delivered deliver(fuse_req* handle, const RequestInfo&, const std::string& link_target) {
    return delivered(fuse_reply_readlink(handle, link_target.c_str()));
}

Delivered deliver(fuse_req* handle, const RequestInfo& info, const fs::OpenReply& reply) {
    auto out = to_open_out(reply, info.open_flags);
    if (info.opcode == FUSE_OPENDIR) out.open_flags = 0;
    return delivered(fuse_reply_buf(handle, reinterpret_cast<const char*>(&out), sizeof out));
}

Delivered deliver(fuse_req* handle, const RequestInfo& info, const fs::CreateReply& reply) {
    struct {
        fuse_entry_out entry;
        fuse_open_out open;
    } out{to_entry_out(reply.entry), to_open_out(reply.open, info.open_flags)};
    return delivered(fuse_reply_buf(handle, reinterpret_cast<const char*>(&out), sizeof out));
}

Delivered deliver(fuse_req* handle, const RequestInfo&, const fs::ReadData& data) {
    const auto& pieces = data.pieces;
    if (pieces.empty()) return delivered(fuse_reply_buf(handle, nullptr, 0));
    if (pieces.size() == 1 && pieces[0].piped()) return deliver_piped(handle, pieces[0]);
    touch_pages(data);
    if (pieces.size() == 1) {
        const auto* bytes = reinterpret_cast<const char*>(pieces[0].data());
        return delivered(fuse_reply_buf(handle, bytes, pieces[0].size()));
    }
    if (pieces.size() > kMaxPieces) return deliver_copy(handle, data);
    const auto count = static_cast<int>(pieces.size());
    if (pieces.size() <= kPiecesOnStack) {
        std::array<iovec, kPiecesOnStack> vectors;
        std::transform(pieces.begin(), pieces.end(), vectors.begin(), to_iovec);
        return delivered(fuse_reply_iov(handle, vectors.data(), count));
    }
    std::vector<iovec> vectors(pieces.size());
    std::transform(pieces.begin(), pieces.end(), vectors.begin(), to_iovec);
    return delivered(fuse_reply_iov(handle, vectors.data(), count));
}

Delivered deliver(fuse_req* handle, const RequestInfo&, std::size_t bytes_written) {
    return delivered(fuse_reply_write(handle, bytes_written));
}

Delivered deliver(fuse_req* handle, const RequestInfo&, const struct statvfs& statistics) {
    return delivered(fuse_reply_statfs(handle, &statistics));
}

Delivered deliver(fuse_req* handle, const RequestInfo&, const Listed& listed) {
    return delivered(fuse_reply_buf(handle, listed.bytes.data(), listed.bytes.size()));
}

void undo(fs::Operations& filesystem, const RequestInfo&, const fs::Entry& entry) {
    if (entry.id != 0) filesystem.forget(entry.id, 1);
}

void undo(fs::Operations& filesystem, const RequestInfo& info, const fs::OpenReply& reply) {
    if (info.opcode == FUSE_OPENDIR) {
        filesystem.releasedir(reply.open);
    } else {
        core::spawn(filesystem.release(reply.open));
    }
}

void undo(fs::Operations& filesystem, const RequestInfo& info, const fs::CreateReply& reply) {
    undo(filesystem, info, reply.open);
    undo(filesystem, info, reply.entry);
}

void undo(fs::Operations& filesystem, const RequestInfo&, const Listed& listed) {
    if (listed.listing == fs::Listing::names) return;
    auto rest = listed.bytes;
    while (rest.size() >= sizeof(fuse_direntplus)) {
        fuse_direntplus entry;
        std::memcpy(&entry, rest.data(), sizeof entry);
        if (entry.entry_out.nodeid != 0) filesystem.forget(entry.entry_out.nodeid, 1);
        const auto size = FUSE_DIRENT_ALIGN(sizeof entry + entry.dirent.namelen);
        rest = rest.subspan(std::min<std::size_t>(size, rest.size()));
    }
}

}  // namespace uidnfs::fuse
