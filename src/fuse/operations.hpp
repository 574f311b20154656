// SPDX-License-Identifier: Apache-2.0
// Trampolines: one small function for each question of the kernel, which starts the operation of
// fs::Operations and returns. They are called by libfuse, inside of the Session's dispatch.
#pragma once

struct fuse_lowlevel_ops;

namespace uidnfs::fuse {

/// The table for fuse_session_new(3), whose user data must be a Glue.
/// What is not in it is answered ENOSYS, which the kernel remembers and turns into what programs
/// fall back on: fallocate EOPNOTSUPP, copy_file_range a copy through the page cache, SEEK_DATA and
/// SEEK_HOLE a file without holes, extended attributes EOPNOTSUPP, locks the kernel's own.
const fuse_lowlevel_ops& operations() noexcept;

// The three parts of the table.
void add_name_operations(fuse_lowlevel_ops& table) noexcept;
void add_file_operations(fuse_lowlevel_ops& table) noexcept;
void add_directory_operations(fuse_lowlevel_ops& table) noexcept;

}  // namespace uidnfs::fuse
