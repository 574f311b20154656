// SPDX-License-Identifier: Apache-2.0
// The one door to libfuse and to the kernel's protocol; only .cpp files of this room go through it.
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <linux/fuse.h>

#include <cstdint>

namespace uidnfs::fuse {

/// FUSE_DIRECT_IO_ALLOW_MMAP of linux/fuse.h 7.39; Debian 12 has 7.38.
inline constexpr std::uint64_t kDirectIoAllowMmap = 1ull << 36;

/// FUSE_NOTIFY_INC_EPOCH of linux/fuse.h 7.44 (Linux 6.16).
inline constexpr std::int32_t kNotifyIncEpoch = 8;

/// FUSE_NOTIFY_RESEND, FUSE_HAS_RESEND and FUSE_UNIQUE_RESEND of linux/fuse.h 7.40 (Linux 6.9).
inline constexpr std::int32_t kNotifyResend = 7;
inline constexpr std::uint64_t kHasResend = 1ull << 39;
inline constexpr std::uint64_t kResent = 1ull << 63;

/// FUSE_INT_REQ_BIT of fs/fuse/dev.c: the number of the INTERRUPT of a request. Since Linux 4.20
/// (7.28) each request has one, whether it was interrupted or not.
inline constexpr std::uint64_t kInterruptBit = 1;
inline constexpr std::uint32_t kMinorOfInterruptBit = 28;

/// The kernel waits for one, and there is a record until it has it. INIT is kept elsewhere.
inline bool has_answer(std::uint32_t opcode) noexcept {
    return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT &&
           opcode != FUSE_INIT;
}

/// Largest payload of a READ or WRITE: 256 pages, what libfuse 3.14 sizes its buffers for.
inline constexpr std::uint32_t kMaxIo = 1u << 20;
/// What libfuse leaves for the headers in front of it.
inline constexpr std::uint32_t kMaxHeader = 4096;

}  // namespace uidnfs::fuse
