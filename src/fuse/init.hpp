// SPDX-License-Identifier: Apache-2.0
// INIT: what is asked of the kernel, and the two messages as they went over the device, which a
// later worker needs to take the session over. The functions are pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fs/options.hpp"

struct fuse_conn_info;
struct fuse_init_out;

namespace uidnfs::fuse {

struct InitExchange {
    std::vector<std::byte> request;  ///< struct fuse_in_header, fuse_init_in
    std::vector<std::byte> reply;    ///< struct fuse_out_header, fuse_init_out; empty: none yet
};

/// Flags of an INIT request, flags2 in the upper half; 0 when the bytes are not one.
std::uint64_t offered_flags(std::span<const std::byte> request) noexcept;

/// What libfuse knows how to ask for. `max_write`: bytes.
void configure(fuse_conn_info& connection, fs::Readdirplus readdirplus, std::uint32_t max_write);

/// Adds what libfuse 3.14 cannot ask for, as far as the kernel offers it:
/// - FUSE_PARALLEL_DIROPS: without it the kernel lets one LOOKUP at a time into a directory.
/// - FUSE_HANDLE_KILLPRIV_V2: the server clears setuid bits on writes, so the kernel need not ask
///   for security.capability before each.
/// - FUSE_DIRECT_IO_ALLOW_MMAP: a file opened direct can still be mapped shared.
void complete(fuse_init_out& reply, std::uint64_t offered) noexcept;

}  // namespace uidnfs::fuse
