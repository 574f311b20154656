// SPDX-License-Identifier: Apache-2.0
// What the kernel may ask of a file system and what it gets, without libfuse's types.
#pragma once

#include "core/buffer.hpp"
#include "core/progress.hpp"
#include "core/reactor.hpp"
#include "core/task.hpp"
#include "fs/sync_choice.hpp"
#include "mapper/ids.hpp"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::fs {

/// Counts up from kRootId; never a pointer, never used again.
using InodeId = std::uint64_t;
inline constexpr InodeId kRootId = 1;

/// An open file or directory.
using OpenId = std::uint64_t;

/// The process behind a request, in the kernel's numbering of the mounting namespace.
struct Caller {
    mapper::ClientUid uid;
    mapper::ClientGid gid;
    std::uint32_t tid = 0;  ///< 0: the kernel itself, or not visible in our pid namespace
    std::uint32_t umask = 0;
    std::vector<std::uint32_t> groups = {};  ///< supplementary; only filled for identity=caller
    core::Progress progress = {};            ///< of this request, over all workers
};

using Validity = std::chrono::milliseconds;

struct AttrReply {
    struct stat stat {};
    Validity attr_valid{0};
};

/// `id` 0: the name does not exist, and the kernel may remember that for `entry_valid`.
struct Entry {
    InodeId id = 0;
    struct stat stat {};
    Validity attr_valid{0};
    Validity entry_valid{0};
};

/// Whether the pages that the kernel has of a file are still right.
enum class Pages : std::uint8_t { keep, drop };
/// `direct`: every read and write comes to us, past the kernel's page cache (FOPEN_DIRECT_IO).
enum class Caching : std::uint8_t { pages, direct };

struct OpenReply {
    OpenId open = 0;
    Pages pages = Pages::drop;
    Caching caching = Caching::pages;
};

struct CreateReply {
    Entry entry;
    OpenReply open;
};

/// What setattr(2)-like calls change; unset members stay.
struct SetAttrRequest {
    std::optional<std::uint32_t> mode;
    std::optional<mapper::ClientUid> uid;
    std::optional<mapper::ClientGid> gid;
    std::optional<std::uint64_t> size;
    struct TimeRequest {
        enum class How : std::uint8_t { keep, now, set } how = How::keep;
        timespec time{};
    };
    TimeRequest atime;
    TimeRequest mtime;
    std::optional<OpenId> open;  ///< ftruncate(2), fchmod(2): the open file it comes from
};

struct ReadData {
    std::vector<core::Slice> pieces;  ///< in order; all together at most what was asked
    std::size_t size() const noexcept {
        std::size_t sum = 0;
        for (const auto& piece : pieces) sum += piece.size();
        return sum;
    }
};

/// `page_cache`: the kernel writes back a page (mmap); it has no caller, and it must never wait for
/// a budget (docs/SEMANTICS.md).
enum class WriteOrigin : std::uint8_t { application, page_cache };

/// One name of a listing on its way to the kernel.
struct DirItem {
    std::string_view name;
    std::uint64_t fileid = 0;
    mode_t type = 0;                ///< S_IFREG etc., 0 when unknown
    std::uint64_t next_offset = 0;  ///< d_off: where a listing after this entry goes on
    Entry entry;                    ///< for readdirplus; entry.id 0: only the name is known
};

/// Takes one item; false when its buffer is full (the item is not taken then).
using DirSink = std::function<bool(const DirItem&)>;

enum class Listing : std::uint8_t { names, plus };

enum class RenameMode : std::uint8_t { replace, no_replace, exchange };

/// What could not be brought to the server before a deadline.
struct LostRange {
    std::uint64_t fileid = 0;
    std::string path;  ///< below the export, as last seen; empty: not known
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};

struct FsStatus {
    std::uint64_t inodes = 0;
    std::uint64_t open_files = 0;
    std::uint64_t bytes_not_committed = 0;
    std::uint64_t write_behind_budget = 0;
    std::uint64_t attribute_hits = 0;
    std::uint64_t attribute_misses = 0;
    // Of the names that the kernel asked for; those that it remembers are not seen here.
    std::uint64_t lookup_hits = 0;
    std::uint64_t lookup_misses = 0;
    std::uint64_t access_hits = 0;
    std::uint64_t access_misses = 0;
    // Reads of applications that needed no READ of their own; READs that nobody needed; bytes.
    std::uint64_t read_ahead_hits = 0;
    std::uint64_t read_ahead_unused = 0;
    std::uint64_t read_ahead_bytes = 0;
    std::uint64_t refused_callers = 0;
    std::uint64_t write_errors = 0;
    SyncChoice small_files;  ///< how they reach the disk, and what each way took
};

/// Tells the kernel that what it keeps is no longer right. Called on the reactor's thread; must not
/// wait for the kernel (docs/decisions: notifications come from a thread of their own).
class Invalidator {
public:
    virtual ~Invalidator() = default;
    /// Attributes and, from `offset` on, pages (`length` 0: to the end; offset < 0: attributes
    /// only).
    virtual void inode(InodeId id, std::int64_t offset, std::int64_t length) = 0;
    /// Waits until the kernel has dropped the pages that it was told to, at most a second: one may
    /// be held by a READ that nobody answers. Not for whoever answers a call that may itself hold
    /// pages.
    virtual core::Task<void> pages_gone(core::Reactor&, InodeId) const { co_return; }
    virtual void entry(InodeId parent, std::string_view name) = 0;
    /// The kernel asks for the attributes again from now on, in time for the reply that is being
    /// made. Unlike the others this takes neither page nor directory locks (fs/fuse/inode.c,
    /// fuse_reverse_inval_inode with a negative offset), so it may be done at once.
    virtual void attributes(InodeId id) { inode(id, -1, 0); }
    /// Every name is looked up again before it is used, in time for the reply that is being made.
    /// Takes no lock either. Kernels before 6.16 cannot (linux/fuse.h, FUSE_NOTIFY_INC_EPOCH):
    /// names end with their timeouts there.
    virtual void all_names() = 0;
};

}  // namespace uidnfs::fs
