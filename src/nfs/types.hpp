// SPDX-License-Identifier: Apache-2.0
// The words of RFC 1813 as plain values, free of libnfs. What a version 4.1 client would need as well
// is here; what only one version has stays in its folder.
#pragma once

#include "mapper/credential.hpp"
#include "mapper/ids.hpp"

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::nfs {

/// Opaque to us; at most 64 bytes in NFSv3 (nfs_fh3), 128 in NFSv4.
class FileHandle {
public:
    static constexpr std::size_t kMaxBytes = 128;

    FileHandle() = default;
    /// REQUIRES: 0 < bytes.size() <= kMaxBytes.
    explicit FileHandle(std::span<const std::byte> bytes) noexcept
        : size_(static_cast<std::uint8_t>(bytes.size())) {
        std::memcpy(data_.data(), bytes.data(), bytes.size());
    }
    std::span<const std::byte> bytes() const noexcept { return {data_.data(), size_}; }
    bool empty() const noexcept { return size_ == 0; }
    friend bool operator==(const FileHandle& a, const FileHandle& b) noexcept {
        return a.size_ == b.size_ && std::memcmp(a.data_.data(), b.data_.data(), a.size_) == 0;
    }

private:
    std::array<std::byte, kMaxBytes> data_{};
    std::uint8_t size_ = 0;
};

struct FileHandleHash {
    std::size_t operator()(const FileHandle& handle) const noexcept {
        const auto bytes = handle.bytes();
        return std::hash<std::string_view>()(
            std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())
        );
    }
};

/// nfstime3: seconds since 1970, unsigned 32 bits in version 3 (until 2106).
struct Time {
    std::int64_t seconds = 0;
    std::uint32_t nanoseconds = 0;
    friend auto operator<=>(const Time&, const Time&) = default;
};

/// ftype3.
enum class FileType : std::uint32_t {
    regular = 1,
    directory = 2,
    block_device = 3,
    character_device = 4,
    symlink = 5,
    socket = 6,
    fifo = 7,
};

/// fattr3.
struct Attr {
    FileType type = FileType::regular;
    std::uint32_t mode = 0;  ///< permission bits with setuid, setgid and sticky: 07777
    std::uint32_t nlink = 1;
    mapper::ServerUid uid;
    mapper::ServerGid gid;
    std::uint64_t size = 0;  ///< bytes
    std::uint64_t used = 0;  ///< bytes on disk
    std::uint32_t rdev_major = 0;
    std::uint32_t rdev_minor = 0;
    std::uint64_t fsid = 0;
    std::uint64_t fileid = 0;
    Time atime;
    Time mtime;
    Time ctime;
    friend bool operator==(const Attr&, const Attr&) = default;
};

/// wcc_attr: what tells our own changes from those of others.
struct WccAttr {
    std::uint64_t size = 0;
    Time mtime;
    Time ctime;
    friend bool operator==(const WccAttr&, const WccAttr&) = default;
};

/// wcc_data; each half may be missing in any reply.
struct Wcc {
    std::optional<WccAttr> before;
    std::optional<Attr> after;
};

/// set_atime, set_mtime.
struct TimeChange {
    enum class How : std::uint8_t { keep, server_time, client_time } how = How::keep;
    Time time;  ///< for client_time
};

/// sattr3 without the guard.
struct SetAttr {
    std::optional<std::uint32_t> mode;
    std::optional<mapper::ServerUid> uid;
    std::optional<mapper::ServerGid> gid;
    std::optional<std::uint64_t> size;
    TimeChange atime;
    TimeChange mtime;

    bool empty() const noexcept {
        return !mode && !uid && !gid && !size && atime.how == TimeChange::How::keep &&
               mtime.how == TimeChange::How::keep;
    }
};

/// ACCESS3_*: a set of bits.
using AccessBits = std::uint32_t;
inline constexpr AccessBits kAccessRead = 0x01;
inline constexpr AccessBits kAccessLookup = 0x02;
inline constexpr AccessBits kAccessModify = 0x04;
inline constexpr AccessBits kAccessExtend = 0x08;
inline constexpr AccessBits kAccessDelete = 0x10;
inline constexpr AccessBits kAccessExecute = 0x20;
inline constexpr AccessBits kAccessAll = 0x3f;

/// stable_how.
enum class Stability : std::uint32_t { unstable = 0, data_sync = 1, file_sync = 2 };

/// writeverf3, createverf3: opaque, compared for equality only.
using Verifier = std::array<std::byte, 8>;

/// createmode3; `exclusive` carries a verifier that is unique to one attempt of one caller.
enum class CreateHow : std::uint32_t { unchecked = 0, guarded = 1, exclusive = 2 };

/// Where a listing goes on: opaque to everybody but the client that made it.
struct DirCursor {
    std::uint64_t cookie = 0;
    Verifier verifier{};
    friend bool operator==(const DirCursor&, const DirCursor&) = default;
};

/// One name in a listing; handle and attr may be missing for any entry.
struct DirEntry {
    std::string name;  ///< 1 to 255 bytes, ".", ".." are passed on; no '/' and no NUL
    std::uint64_t fileid = 0;
    std::uint64_t cookie = 0;  ///< of the entry after this one
    std::optional<FileHandle> handle;
    std::optional<Attr> attr;
};

struct DirPage {
    std::vector<DirEntry> entries;
    Verifier verifier{};
    enum class More : std::uint8_t { yes, end } more = More::yes;
    std::optional<Attr> dir_attr;
};

/// FSSTAT.
struct FsStat {
    std::uint64_t total_bytes = 0;
    std::uint64_t free_bytes = 0;
    std::uint64_t available_bytes = 0;
    std::uint64_t total_files = 0;
    std::uint64_t free_files = 0;
    std::uint64_t available_files = 0;
    std::uint32_t invariant_seconds = 0;
};

/// FSINFO; sizes in bytes, already cut to what this client can carry.
struct FsInfo {
    std::uint32_t read_max = 0;
    std::uint32_t read_preferred = 0;
    std::uint32_t write_max = 0;
    std::uint32_t write_preferred = 0;
    std::uint32_t directory_preferred = 0;
    std::uint64_t max_file_size = 0;
    Time time_delta;  ///< the server's clock tick
    bool has_links = true;
    bool has_symlinks = true;
    bool is_homogeneous = true;
    bool can_set_time = true;
};

/// PATHCONF.
struct PathConf {
    std::uint32_t link_max = 0;
    std::uint32_t name_max = 255;
    bool no_truncation = true;
    bool chown_restricted = true;
    bool case_insensitive = false;
    bool case_preserving = true;
};

}  // namespace uidnfs::nfs
