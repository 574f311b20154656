// SPDX-License-Identifier: Apache-2.0
// INIT: what is asked of the kernel, and the two messages as they went over the device, which a
// later worker needs to take the session over. The functions are pure.
#pragma once

#include "fs/options.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

struct fuse_conn_info;
struct fuse_init_out;

namespace uidnfs::fuse {

struct InitExchange {
    std::vector<std::byte> request;  ///< struct fuse_in_header, fuse_init_in
    std::vector<std::byte> reply;    ///< struct fuse_out_header, fuse_init_out; empty: none yet
};

/// Flags of an INIT request, flags2 in the upper half; 0 when the bytes are not one.
std::uint64_t offered_flags(std::span<const std::byte> request) noexcept;
/// The kernel's version 7.MINOR of the protocol; 0: the request says none.
std::uint32_t offered_minor(std::span<const std::byte> request) noexcept;

/// When the kernel drops pages of a file.
enum class PagesEnd : std::uint8_t {
    when_told,             ///< FUSE_EXPLICIT_INVAL_DATA
    with_their_attributes  ///< FUSE_AUTO_INVAL_DATA: each read asks for them first; for noac
};

struct ConnectionWish {
    fs::Readdirplus readdirplus = fs::Readdirplus::on;
    PagesEnd pages_end = PagesEnd::when_told;
    std::uint32_t max_write = 0;  ///< bytes
};

/// What libfuse knows how to ask for.
void configure(fuse_conn_info& connection, const ConnectionWish& wish);

/// Adds what libfuse 3.14 cannot ask for, as far as the kernel offers it:
/// - FUSE_PARALLEL_DIROPS: without it the kernel lets one LOOKUP at a time into a directory.
/// - FUSE_HANDLE_KILLPRIV_V2: the server clears setuid bits on writes, so the kernel need not ask
///   for security.capability before each.
/// - FUSE_DIRECT_IO_ALLOW_MMAP: a file opened direct can still be mapped shared.
void complete(fuse_init_out& reply, std::uint64_t offered) noexcept;

}  // namespace uidnfs::fuse
