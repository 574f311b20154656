// SPDX-License-Identifier: Apache-2.0
// The plain records of a mount in its arena. They say everything the next worker needs to go on;
// heap indexes are made from them. Records refer to each other by id. Changing one means
// Arena::kVersion + 1.
#pragma once

#include "core/arena.hpp"
#include "core/slots.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace uidnfs::fs {

enum RegionId : std::uint32_t {
    kInodeRegion = 1,
    kOpenRegion = 2,
    kCursorRegion = 3,
    kSillyRegion = 4,
    kExtentRegion = 5,
    kSlotRegion = 6,
};

/// A file handle that the kernel knows as `id`.
struct InodeRecord {
    std::uint64_t id;
    std::uint64_t fileid;
    std::uint64_t lookups;  ///< upper bound of what the kernel holds; raised before the reply
    std::uint32_t type;     ///< nfs::FileType
    std::uint32_t handle_size;
    std::array<std::byte, 128> handle;
};

enum class OpenKind : std::uint32_t { file = 1, directory = 2 };

struct OpenRecord {
    std::uint64_t id;
    std::uint64_t inode;
    OpenKind kind;
    std::int32_t flags;  ///< of open(2)
};

/// How far a directory was listed: where the next READDIR begins.
struct CursorRecord {
    std::uint64_t open;
    std::uint64_t cookie;
    std::array<std::byte, 8> verifier;
};

/// A file that was removed while open, and the name it has on the server until the last close.
struct SillyRecord {
    std::uint64_t inode;
    std::uint64_t parent;
    std::array<char, 64> name;  ///< NUL-terminated
};

enum class ExtentState : std::uint32_t { dirty = 1, sending = 2, uncommitted = 3 };

/// Bytes that an application was told are written and that the server may still forget.
struct ExtentRecord {
    std::uint64_t inode;
    std::uint64_t offset;  ///< in the file
    std::uint64_t length;
    std::uint64_t data;  ///< offset of the bytes in the slot region
    ExtentState state;
    std::uint32_t reserved;
    std::array<std::byte, 8> verifier;  ///< of the WRITE; for `uncommitted`
};

using InodeRecords = core::Table<InodeRecord>;
using OpenRecords = core::Table<OpenRecord>;
using CursorRecords = core::Table<CursorRecord>;
using SillyRecords = core::Table<SillyRecord>;
using ExtentRecords = core::Table<ExtentRecord>;

/// 1 MiB of payload, the largest request header (40 + 40 bytes) rounded up to a page.
inline constexpr std::uint32_t kSlotBytes = (1u << 20) + 4096;
/// A write that waits for the budget keeps its slot, and a request is known only once it was read:
/// as many threads may wait in write(2) before df(1) and the end of a process are no longer heard.
inline constexpr std::uint64_t kSlots = 8192;

/// Capacities cost address space, not memory: untouched pages of a memfd do not exist.
inline constexpr std::array<core::RegionSpec, 6> kRegions{
    InodeRecords::spec(kInodeRegion, 4u << 20),
    OpenRecords::spec(kOpenRegion, 1u << 18),
    CursorRecords::spec(kCursorRegion, 1u << 16),
    SillyRecords::spec(kSillyRegion, 1u << 14),
    ExtentRecords::spec(kExtentRegion, 1u << 21),
    core::SlotPool::spec(kSlotRegion, kSlotBytes, kSlots),
};

}  // namespace uidnfs::fs
