// SPDX-License-Identifier: Apache-2.0
// The plain records of a mount in its arena. They say everything the next worker needs to go on;
// heap indexes are made from them. Records refer to each other by id. Every change is one store
// (core::Table): docs/decisions/0013 says in which order, arena_check.hpp what may be found.
// Changing a record means Arena::kVersion + 1.
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
    kCounterRegion = 7,
    kCredentialRegion = 8,
    kWrittenRegion = 9,
    kCookieRegion = 10,
};

/// What counts up and is never used again, over all workers of a mount. One record.
struct CounterRecord {
    std::uint64_t next_inode;
    std::uint64_t next_open;
};

/// An AUTH_SYS identity that other records name by its number: its index + 1.
struct CredentialRecord {
    std::uint32_t uid;
    std::uint32_t gid;
    std::uint32_t group_count;
    std::uint32_t reserved;
    std::array<std::uint32_t, 16> groups;
};
/// The number of the mount's own identity, which its spec says.
inline constexpr std::uint32_t kMountsOwn = 0;

/// A file handle that the kernel knows as `id`.
struct InodeRecord {
    std::uint64_t id;
    std::uint64_t fileid;
    std::uint64_t lookups;      ///< upper bound of what the kernel holds; raised before the reply
    std::uint64_t write_error;  ///< WriteError::word()
    std::uint32_t type;         ///< nfs::FileType
    std::uint32_t handle_size;
    std::array<std::byte, 128> handle;
};

enum class OpenKind : std::uint32_t { file = 1, directory = 2 };

struct OpenRecord {
    std::uint64_t id;
    std::uint64_t inode;
    std::uint64_t error_seen;  ///< WriteError::Seen
    OpenKind kind;
    std::int32_t flags;        ///< of open(2)
    std::uint32_t credential;  ///< whose its reads and writes are
    std::uint32_t owed;        ///< kOwed | mode of a new file whose SETATTR is not answered yet;
                               ///< kGoing; or 0
};
inline constexpr std::uint32_t kOwed = 1u << 31;
/// Nobody has it any more: its release waits for what is owed to the file.
inline constexpr std::uint32_t kGoing = 1u << 30;

/// What the server wants to see with the next READDIR of an open directory; where that begins, the
/// kernel says.
struct CursorRecord {
    std::uint64_t open;
    std::uint64_t verifier;
};

/// A cookie of an open directory that the kernel knows by a number, or with which it ends.
struct CookieRecord {
    std::uint64_t open;
    std::uint64_t number;
    std::uint64_t cookie;

    /// As `number`. A version that does not know it has a cookie more that nobody asks for.
    static constexpr std::uint64_t kEnd = ~std::uint64_t{0};
};

/// A file that was removed while open, and the name it has on the server until the last close.
struct SillyRecord {
    std::uint64_t inode;
    std::uint64_t parent;
    std::uint32_t credential;  ///< who removed it
    std::uint32_t reserved;
    std::array<char, 64> name;  ///< NUL-terminated
};

/// A file that ExtentRecords speak of, for whoever must write them back by hand.
struct WrittenRecord {
    std::uint64_t inode;
    std::uint64_t ctime;          ///< seconds << 32 | nanoseconds, as last seen; 0: not known
    std::array<char, 1008> path;  ///< below the export, NUL-terminated; empty: not known
};

/// `cut`: not bytes, but that older ones at and beyond `offset` are no more.
enum class ExtentState : std::uint32_t { dirty = 1, sending = 2, uncommitted = 3, cut = 4 };

/// Bytes that an application was told are written and that the server may still forget.
struct ExtentRecord {
    std::uint64_t inode;
    std::uint64_t offset;  ///< in the file
    std::uint64_t length;
    std::uint64_t data;   ///< offset of the bytes in the slot region
    std::uint64_t order;  ///< of two that overlap the higher one holds; equal ones have equal bytes
    ExtentState state;
    std::uint32_t credential;  ///< in whose name they are written
    std::uint64_t verifier;    ///< nfs::Verifier that the WRITE was answered with: `uncommitted`
};

using CounterRecords = core::Table<CounterRecord>;
using CredentialRecords = core::Table<CredentialRecord>;
using InodeRecords = core::Table<InodeRecord>;
using OpenRecords = core::Table<OpenRecord>;
using CursorRecords = core::Table<CursorRecord>;
using CookieRecords = core::Table<CookieRecord>;
using SillyRecords = core::Table<SillyRecord>;
using WrittenRecords = core::Table<WrittenRecord>;
using ExtentRecords = core::Table<ExtentRecord>;

/// 1 MiB of payload, the largest request header (40 + 40 bytes) rounded up to a page.
inline constexpr std::uint32_t kSlotBytes = (1u << 20) + 4096;
/// A write that waits for the budget keeps its slot, and a request is known only once it was read:
/// as many threads may wait in write(2) before df(1) and the end of a process are no longer heard.
inline constexpr std::uint64_t kSlots = 8192;

/// Capacities cost address space, not memory: untouched pages of a memfd do not exist.
inline constexpr std::array<core::RegionSpec, 10> kRegions{
    InodeRecords::spec(kInodeRegion, 4u << 20),
    OpenRecords::spec(kOpenRegion, 1u << 18),
    CursorRecords::spec(kCursorRegion, 1u << 16),
    SillyRecords::spec(kSillyRegion, 1u << 14),
    ExtentRecords::spec(kExtentRegion, 1u << 21),
    core::SlotPool::spec(kSlotRegion, kSlotBytes, kSlots),
    CounterRecords::spec(kCounterRegion, 1),
    CredentialRecords::spec(kCredentialRegion, 1u << 16),
    WrittenRecords::spec(kWrittenRegion, 1u << 18),
    CookieRecords::spec(kCookieRegion, 1u << 21),
};

}  // namespace uidnfs::fs
