// SPDX-License-Identifier: Apache-2.0
#include "fuse/init.hpp"

#include "fuse/libfuse.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace uidnfs::fuse {
namespace {

// Readahead and other background work stop at the threshold; the kernel's own is 9.
constexpr unsigned kMaxBackground = 256;
constexpr unsigned kCongestionThreshold = 192;

}  // namespace

std::uint64_t offered_flags(std::span<const std::byte> request) noexcept {
    // Kernels before 7.36 send no flags2.
    constexpr auto kShort = sizeof(fuse_in_header) + offsetof(fuse_init_in, flags2);
    if (request.size() < kShort) return 0;
    fuse_init_in in{};
    const auto body = request.subspan(sizeof(fuse_in_header));
    std::memcpy(&in, body.data(), std::min(body.size(), sizeof in));
    std::uint64_t flags = in.flags;
    if (flags & FUSE_INIT_EXT) flags |= std::uint64_t{in.flags2} << 32;
    return flags;
}

std::uint32_t offered_minor(std::span<const std::byte> request) noexcept {
    constexpr auto kOffset = sizeof(fuse_in_header) + offsetof(fuse_init_in, minor);
    std::uint32_t minor = 0;
    if (request.size() >= kOffset + sizeof minor) {
        std::memcpy(&minor, request.data() + kOffset, sizeof minor);
    }
    return minor;
}

void configure(fuse_conn_info& connection, const ConnectionWish& wish) {
    auto want = connection.want;
    // Changed attributes must not throw pages away by themselves: our own writes change them too.
    const bool told = wish.pages_end == PagesEnd::when_told;
    want &= ~(told ? FUSE_CAP_AUTO_INVAL_DATA : FUSE_CAP_EXPLICIT_INVAL_DATA);
    want |= told ? FUSE_CAP_EXPLICIT_INVAL_DATA : FUSE_CAP_AUTO_INVAL_DATA;
    want |= FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO |
            FUSE_CAP_ATOMIC_O_TRUNC;
    want &=
        ~(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_POSIX_ACL | FUSE_CAP_EXPORT_SUPPORT |
          FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_DONT_MASK);
    constexpr auto kPlus = FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO;
    want = wish.readdirplus == fs::Readdirplus::on ? want | kPlus : want & ~kPlus;
    connection.want = want & connection.capable;
    connection.max_write = wish.max_write;
    connection.max_background = kMaxBackground;
    connection.congestion_threshold = kCongestionThreshold;
}

void complete(fuse_init_out& reply, std::uint64_t offered) noexcept {
    reply.flags |=
        static_cast<std::uint32_t>(offered) & (FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2);
    if (offered & kDirectIoAllowMmap) {
        reply.flags |= FUSE_INIT_EXT;
        reply.flags2 |= static_cast<std::uint32_t>(kDirectIoAllowMmap >> 32);
    }
}

}  // namespace uidnfs::fuse
