// SPDX-License-Identifier: Apache-2.0
// Inode: a file handle that the kernel (or an open file, or unsent data) still knows, and what we
// know about it. Shared by the table and by the operations that work on it; reactor's thread only.
#pragma once

#include "core/event.hpp"
#include "fs/attr_cache.hpp"
#include "fs/extent_map.hpp"
#include "fs/known_names.hpp"
#include "fs/records.hpp"
#include "fs/rereads.hpp"
#include "fs/types.hpp"
#include "nfs/client.hpp"

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace uidnfs::fs {

/// Error of asynchronous writes: each open file hears of it once (like the kernel's errseq_t).
class WriteError {
public:
    using Seen = std::uint64_t;

    /// As a record keeps it: its number, whether somebody heard of it, the errno.
    std::uint64_t word() const noexcept {
        return sequence_ << 32 | std::uint64_t{told_} << 31 | static_cast<std::uint32_t>(code_);
    }
    static WriteError from_word(std::uint64_t word) noexcept {
        WriteError error;
        error.sequence_ = word >> 32;
        error.told_ = error.sequence_ == 0 || (word >> 31 & 1);
        error.code_ = static_cast<int>(word & 0x7fff'ffff);
        return error;
    }

    void set(int code) noexcept {
        code_ = code;
        ++sequence_;
        told_ = false;
    }
    /// What a new open file has heard: everything, unless nobody heard the last error yet.
    Seen sample() const noexcept { return told_ ? sequence_ : sequence_ - 1; }
    /// 0, or the errno that the owner of `seen` has not heard.
    int take(Seen& seen) noexcept {
        if (seen >= sequence_) return 0;
        seen = sequence_;
        told_ = true;
        return code_;
    }

private:
    Seen sequence_ = 0;
    int code_ = 0;
    bool told_ = true;
};

/// In whose name, and through which open file, bytes go to the server.
struct WriteContext {
    nfs::OpenRef open;
    nfs::CallContext call;
};

/// Write-behind of one regular file.
struct FileState {
    FileState(core::Reactor& reactor, ExtentJournal journal, InodeId id)
        : extents(journal, id), progress(reactor), order(reactor) {}

    ExtentMap extents;
    core::Event progress;     ///< a WRITE or COMMIT ended
    core::Mutex order;        ///< cuts, appends and what is put in go one at a time
    std::uint32_t holds = 0;  ///< nothing is sent while somebody holds it
    enum class Commit : std::uint8_t { idle, under_way } commit = Commit::idle;
    std::uint32_t vain_commits = 0;  ///< one after another: the server had lost some of the bytes
    /// After ENOSPC or EDQUOT writes wait for the server until one succeeds, to report early.
    enum class Mode : std::uint8_t { behind, through } mode = Mode::behind;
    /// The open files through which data came, by ExtentMap::Origin; equal ones are one.
    std::vector<WriteContext> origins;
    ExtentMap::Origin origin_of(const WriteContext& context);
    /// What is kept for whoever must write the bytes back by hand, while there are extents.
    WrittenRecords::Index written = WrittenRecords::kNone;
    /// What extents.footprint() was when the budget was last settled.
    std::uint64_t charged = 0;
};

struct NameOf {
    InodeId parent = 0;
    std::string name;
};

/// What the kernel's pages of a file were read (or written) under.
struct PageStamp {
    Stamp stamp;
    enum class Age : std::uint8_t { settled, young } age = Age::young;
};

/// Whether the kernel holds pages of a file, as far as we know.
enum class InKernel : std::uint8_t { no, perhaps };
/// Whether PageWatch has it in mind.
enum class Watched : std::uint8_t { no, yes };

struct Inode {
    Inode(
        InodeId id_,
        InodeRecords::Index record_,
        const nfs::FileHandle& handle_,
        nfs::FileType type_
    )
        : id(id_), record(record_), handle(handle_), type(type_) {}

    const InodeId id;
    InodeRecords::Index record;  ///< kNone: the table has dropped it, others may have its record
    const nfs::FileHandle handle;
    const nfs::FileType type;

    AttrCache attrs;
    core::SteadyTime looked_up{};  ///< when a LOOKUP named it last
    std::uint64_t lookups = 0;
    std::uint32_t opens = 0;
    std::uint32_t opening = 0;   ///< opens that the server has not answered
    std::uint32_t kept = 0;      ///< see Kept
    std::uint32_t removals = 0;  ///< under way (removal.hpp)
    /// A name of it was removed here: once its handle is stale, it has none left.
    enum class Unlinked : std::uint8_t { no, yes } unlinked = Unlinked::no;
    /// Of a new file whose mode and times are on their way: those of the server are not to be shown.
    std::optional<std::uint32_t> owed_mode;

    struct {
        nfs::AccessBits granted = 0;
        mapper::CredentialRef whose;
        nfs::Time ctime;  ///< the answer holds for this ctime
        enum class Known : std::uint8_t { no, yes } known = Known::no;
    } access;

    /// Counts what may have changed the content: bytes that were asked for before are not it.
    std::uint64_t content = 0;
    /// Number, in the mount, of the last change of ours that ended (Filesystem::changes_).
    std::uint64_t changed_at = 0;
    std::optional<PageStamp> pages;
    InKernel in_kernel = InKernel::no;
    std::unique_ptr<Rereads> rereads;  ///< once its pages were dropped while it was open
    Watched watched = Watched::no;
    std::unique_ptr<FileState> file;  ///< once it was written
    WriteError write_error;

    std::vector<NameOf> names;  ///< under which it was last seen; most have one
    std::unordered_map<std::string, InodeId> children;  ///< of a directory: names the kernel knows
    bool told_absence = false;  ///< of a directory: the kernel may know names that are not there
    std::shared_ptr<KnownNames> known;                  ///< of a directory: what is in it
    std::optional<SillyRecords::Index> silly;           ///< removed while open
    mapper::CredentialRef
        remover;  ///< who removed it: whoever closes it last may not be allowed to

    bool is_directory() const noexcept { return type == nfs::FileType::directory; }
    bool is_regular() const noexcept { return type == nfs::FileType::regular; }
    /// Open, or about to be: its last name must not be removed.
    bool is_in_use() const noexcept { return opens > 0 || opening > 0; }
    /// End of the bytes not yet on the server, for the size that applications see.
    std::uint64_t local_end() const noexcept { return file ? file->extents.end() : 0; }
};

using InodeRef = std::shared_ptr<Inode>;

}  // namespace uidnfs::fs
