// SPDX-License-Identifier: Apache-2.0
#include "fuse/raw_request.hpp"

#include "fuse/libfuse.hpp"

#include <algorithm>
#include <cstring>

namespace uidnfs::fuse {
namespace {

struct Shape {
    std::size_t fixed;  ///< bytes behind the header
    std::ptrdiff_t names;
};

/// Operations that libfuse refuses by itself have no shape here.
Shape shape_of(std::uint32_t opcode) noexcept {
    switch (opcode) {
        case FUSE_LOOKUP:
        case FUSE_UNLINK:
        case FUSE_RMDIR: return {0, 1};
        case FUSE_GETATTR: return {sizeof(fuse_getattr_in), 0};
        case FUSE_SETATTR: return {sizeof(fuse_setattr_in), 0};
        case FUSE_SYMLINK: return {0, 2};
        case FUSE_MKNOD: return {sizeof(fuse_mknod_in), 1};
        case FUSE_MKDIR: return {sizeof(fuse_mkdir_in), 1};
        case FUSE_RENAME: return {sizeof(fuse_rename_in), 2};
        case FUSE_RENAME2: return {sizeof(fuse_rename2_in), 2};
        case FUSE_LINK: return {sizeof(fuse_link_in), 1};
        case FUSE_OPEN:
        case FUSE_OPENDIR: return {sizeof(fuse_open_in), 0};
        case FUSE_READ:
        case FUSE_READDIR:
        case FUSE_READDIRPLUS: return {sizeof(fuse_read_in), 0};
        case FUSE_WRITE: return {sizeof(fuse_write_in), 0};
        case FUSE_RELEASE:
        case FUSE_RELEASEDIR: return {sizeof(fuse_release_in), 0};
        case FUSE_FSYNC:
        case FUSE_FSYNCDIR: return {sizeof(fuse_fsync_in), 0};
        case FUSE_FLUSH: return {sizeof(fuse_flush_in), 0};
        case FUSE_ACCESS: return {sizeof(fuse_access_in), 0};
        case FUSE_CREATE: return {sizeof(fuse_create_in), 1};
        case FUSE_FALLOCATE: return {sizeof(fuse_fallocate_in), 0};
        case FUSE_LSEEK: return {sizeof(fuse_lseek_in), 0};
        case FUSE_COPY_FILE_RANGE: return {sizeof(fuse_copy_file_range_in), 0};
        default: return {0, 0};
    }
}

}  // namespace

bool is_whole(std::span<const std::byte> request) noexcept {
    fuse_in_header header{};
    if (request.size() < sizeof header) return false;
    std::memcpy(&header, request.data(), sizeof header);
    const auto shape = shape_of(header.opcode);
    auto rest = request.subspan(sizeof header);
    if (rest.size() < shape.fixed) return false;
    rest = rest.subspan(shape.fixed);
    return std::count(rest.begin(), rest.end(), std::byte{0}) >= shape.names;
}

}  // namespace uidnfs::fuse
