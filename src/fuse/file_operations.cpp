// SPDX-License-Identifier: Apache-2.0
// Trampolines for open files.
#include "fuse/operations.hpp"
#include "fuse/serve.hpp"

#include <cerrno>
#include <optional>

namespace uidnfs::fuse {
namespace {

void open(fuse_req_t request, fuse_ino_t id, fuse_file_info* file) {
    const auto flags = file->flags;
    serve<fs::OpenReply>(
        request,
        [&](auto& filesystem, auto caller) { return filesystem.open(caller, id, flags); },
        flags
    );
}

void create(
    fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* file
) {
    const auto flags = file->flags;
    serve<fs::CreateReply>(
        request,
        [&](auto& filesystem, auto caller) {
            return filesystem.create(caller, parent, name, mode, flags);
        },
        flags
    );
}

void read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* file) {
    serve<fs::ReadData>(request, [&](auto& filesystem) {
        return filesystem.read(file->fh, static_cast<std::uint64_t>(offset), size);
    });
}

void write(
    fuse_req_t request,
    fuse_ino_t,
    const char* data,
    std::size_t size,
    off_t offset,
    fuse_file_info* file
) {
    auto& glue = glue_of(request);
    const auto* payload = reinterpret_cast<const std::byte*>(data);
    const auto* end = glue.bytes.data() + glue.bytes.size();
    // Trusting the size in the message would reach into what the slot held before.
    if (payload > end || size > static_cast<std::size_t>(end - payload)) {
        return refuse(request, EIO);
    }
    const auto origin =
        file->writepage ? fs::WriteOrigin::page_cache : fs::WriteOrigin::application;
    serve<std::size_t>(request, [&](auto& filesystem) {
        core::Slice slice(*glue.slot, payload, size);
        return filesystem.write(
            file->fh,
            static_cast<std::uint64_t>(offset),
            std::move(slice),
            origin,
            glue.progress,
            origin == fs::WriteOrigin::application ? std::optional(file->flags) : std::nullopt
        );
    });
}

void flush(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
    serve<void>(request, [&](auto& filesystem) { return filesystem.flush(file->fh); });
}

/// NFS has no fdatasync of its own: COMMIT brings size and data.
void fsync(fuse_req_t request, fuse_ino_t, int /*datasync*/, fuse_file_info* file) {
    serve<void>(request, [&](auto& filesystem) { return filesystem.fsync(file->fh); });
}

void release(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
    serve<void>(request, [&](auto& filesystem) { return filesystem.release(file->fh); });
}

}  // namespace

void add_file_operations(fuse_lowlevel_ops& table) noexcept {
    table.open = open;
    table.create = create;
    table.read = read;
    table.write = write;
    table.flush = flush;
    table.fsync = fsync;
    table.release = release;
}

}  // namespace uidnfs::fuse
