// SPDX-License-Identifier: Apache-2.0
// A recovery file: bytes that applications were told are written, that no server took in time, and
// what is needed to write them back. Versioned and checked:
//
//     "uidnfsR1"  length of the JSON (8 bytes, little endian)  JSON  bytes  CRC-64 (XZ) of all
//     before
#pragma once

#include "control/message.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace uidnfs::app {

struct RecoveryIdentity {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups = {};
    friend bool operator==(const RecoveryIdentity&, const RecoveryIdentity&) = default;
};

struct RecoveryRange {
    std::uint64_t offset = 0;  ///< in the file
    std::uint64_t length = 0;
    RecoveryIdentity identity;                            ///< in whose name they are written
    std::vector<std::span<const std::byte>> pieces = {};  ///< one behind another
};

struct RecoveryEntry {
    std::string path;  ///< below the export; empty: not known
    std::uint64_t fileid = 0;
    std::vector<std::byte> handle;
    std::uint64_t ctime = 0;  ///< seconds << 32 | nanoseconds, as last seen; 0: not known
    std::vector<RecoveryRange> ranges;

    /// "a/b", or "a file without a name", and its file id; for people.
    std::string describe() const;
};

struct Recovery {
    std::string source;                ///< as the mount had it
    std::vector<std::string> options;  ///< "uid=1001"; never a password
    std::string mountpoint;
    std::string when;  ///< RFC 3339
    std::vector<RecoveryEntry> entries;
    /// What of the mount's state could not be believed, for people; empty: nothing.
    std::string damage = {};

    std::uint64_t bytes() const noexcept;
};

/// All of it, and then on the disk. Errors: errno of write(2), fsync(2).
core::Result<void> write_recovery(int fd, const Recovery& recovery);

/// A recovery file while it is read; its ranges lie in it.
class RecoveryFile {
public:
    /// Checks everything. The text says what is wrong: not such a file, of another version, cut
    /// off, changed.
    static core::Outcome<RecoveryFile> open(const std::string& path);

    RecoveryFile(RecoveryFile&& other) noexcept;
    RecoveryFile& operator=(RecoveryFile&&) = delete;
    ~RecoveryFile();

    const Recovery& contents() const noexcept { return contents_; }

private:
    RecoveryFile(const std::byte* memory, std::size_t size) : memory_(memory), size_(size) {}

    const std::byte* memory_;
    std::size_t size_;
    Recovery contents_;
};

/// Makes `directory` (0700) where it does not exist. EPERM: it is not the caller's own, or others
/// may write to it, and could exchange what is kept there.
core::Outcome<core::Fd> open_recovery_directory(const std::string& directory);

/// A recovery file that is being made: it has its name once it is complete.
class NewRecoveryFile {
public:
    /// In what open_recovery_directory() accepts; `name` with a number where another has it.
    static core::Outcome<NewRecoveryFile> create(
        const std::string& directory, const std::string& name
    );

    NewRecoveryFile(NewRecoveryFile&&) noexcept = default;
    NewRecoveryFile& operator=(NewRecoveryFile&&) = delete;
    /// Takes it away unless it was kept.
    ~NewRecoveryFile();

    int fd() const noexcept { return file_.get(); }
    /// Gives it its name, for good; the path. REQUIRES: its content is on the disk.
    core::Outcome<std::string> keep();

private:
    NewRecoveryFile() = default;
    std::string temporary() const { return "." + name_ + ".new"; }

    std::string path_;  ///< of the directory
    std::string name_;
    core::Fd directory_;
    core::Fd file_;
};

/// "mnt-data-2026-01-31T12:00:00Z-1234.recovery"
std::string recovery_name(std::string_view mountpoint, std::string_view when, std::uint32_t pid);

/// Paths of those in `directory` that mounts at `mountpoint` left, by their names; the oldest
/// first.
std::vector<std::string> recovery_files_of(
    const std::string& directory, std::string_view mountpoint
);

/// Where they are kept: /var/lib/uidnfs/recovery for root, else below $XDG_STATE_HOME.
std::string default_recovery_directory();

}  // namespace uidnfs::app
