// SPDX-License-Identifier: Apache-2.0
// Trampolines for open directories.
#include "fuse/listing.hpp"
#include "fuse/operations.hpp"
#include "fuse/serve.hpp"

#include <memory>

namespace uidnfs::fuse {
namespace {

void opendir(fuse_req_t request, fuse_ino_t id, fuse_file_info*) {
    serve<fs::OpenReply>(request, [&](auto& filesystem, auto caller) {
        return filesystem.opendir(caller, id);
    });
}

core::Task<void> list(
    fs::Operations& filesystem,
    std::unique_ptr<ListingBuffer> buffer,
    Reply<Listed> reply,
    core::Task<core::Result<void>> work
) {
    const auto result = co_await work;
    // Names that came before an error are given first; the error follows when the kernel asks on.
    if (result || !buffer->empty()) {
        reply.answer(buffer->listed());
    } else {
        reply.fail(result.error());
    }
    buffer->forget_left_out(filesystem);
}

void start_list(
    fuse_req_t request, std::size_t size, off_t offset, fs::OpenId open, fs::Listing listing
) {
    auto& glue = glue_of(request);
    guarded([&] {
        auto reply = begin<Listed>(glue, request);
        auto buffer =
            std::make_unique<ListingBuffer>(glue.listing_blocks, listing, size, glue.notifier);
        fs::DirSink sink = [&names = *buffer](const fs::DirItem& item) { return names.add(item); };
        auto work = glue.filesystem.readdir(
            open, static_cast<std::uint64_t>(offset), listing, std::move(sink)
        );
        core::spawn(list(glue.filesystem, std::move(buffer), std::move(reply), std::move(work)));
    });
}

void readdir(
    fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* directory
) {
    start_list(request, size, offset, directory->fh, fs::Listing::names);
}

void readdirplus(
    fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* directory
) {
    start_list(request, size, offset, directory->fh, fs::Listing::plus);
}

void releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info* directory) {
    auto& glue = glue_of(request);
    guarded([&] {
        auto reply = begin<void>(glue, request);
        glue.filesystem.releasedir(directory->fh);
        reply.answer({});
    });
}

void fsyncdir(fuse_req_t request, fuse_ino_t, int /*datasync*/, fuse_file_info* directory) {
    serve<void>(request, [&](auto& filesystem) { return filesystem.fsyncdir(directory->fh); });
}

}  // namespace

void add_directory_operations(fuse_lowlevel_ops& table) noexcept {
    table.opendir = opendir;
    table.readdir = readdir;
    table.readdirplus = readdirplus;
    table.releasedir = releasedir;
    table.fsyncdir = fsyncdir;
}

}  // namespace uidnfs::fuse
