// SPDX-License-Identifier: Apache-2.0
// Arguments of NFSv3 calls as XDR, written by libnfs's codec into memory of the caller. Names,
// handles and targets must have been checked: libnfs does not look at the end of its buffer for
// opaque data. Each returns the number of bytes. REQUIRES: out holds argument_room() of them.
#pragma once

#include "nfs/types.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace uidnfs::nfs::v3 {

inline constexpr std::size_t kMaxHandleBytes = 64;    ///< NFS3_FHSIZE
inline constexpr std::size_t kMaxNameBytes = 255;     ///< what every server can store
inline constexpr std::size_t kMaxTargetBytes = 4096;  ///< PATH_MAX

/// Room for the arguments of any call, without the target of a SYMLINK.
inline constexpr std::size_t kArgumentRoom = 1024;

using Buffer = std::span<std::byte>;

std::size_t encode_handle(Buffer out, const FileHandle& handle);
std::size_t encode_handle_name(Buffer out, const FileHandle& dir, std::string_view name);
std::size_t encode_setattr(
    Buffer out, const FileHandle& handle, const SetAttr& changes, const std::optional<Time>& guard
);
std::size_t encode_access(Buffer out, const FileHandle& handle, AccessBits wanted);
/// READ and COMMIT.
std::size_t encode_range(
    Buffer out, const FileHandle& handle, std::uint64_t offset, std::uint32_t count
);
/// Everything up to and with the length of the data.
std::size_t encode_write(
    Buffer out,
    const FileHandle& handle,
    std::uint64_t offset,
    std::uint32_t count,
    Stability stability
);
std::size_t encode_create(
    Buffer out,
    const FileHandle& dir,
    std::string_view name,
    CreateHow how,
    const SetAttr& attributes,
    const Verifier& verifier
);
std::size_t encode_mkdir(
    Buffer out, const FileHandle& dir, std::string_view name, const SetAttr& attributes
);
/// REQUIRES: kArgumentRoom + target.size() + 4 bytes.
std::size_t encode_symlink(
    Buffer out,
    const FileHandle& dir,
    std::string_view name,
    std::string_view target,
    const SetAttr& attributes
);
struct DeviceNumber {
    std::uint32_t major = 0;
    std::uint32_t minor = 0;
};
std::size_t encode_mknod(
    Buffer out,
    const FileHandle& dir,
    std::string_view name,
    FileType type,
    DeviceNumber device,
    const SetAttr& attributes
);
std::size_t encode_rename(
    Buffer out,
    const FileHandle& from_dir,
    std::string_view from_name,
    const FileHandle& to_dir,
    std::string_view to_name
);
std::size_t encode_link(
    Buffer out, const FileHandle& file, const FileHandle& dir, std::string_view name
);
std::size_t encode_readdir(
    Buffer out, const FileHandle& dir, const DirCursor& from, std::uint32_t max_bytes
);
std::size_t encode_readdirplus(
    Buffer out, const FileHandle& dir, const DirCursor& from, std::uint32_t max_bytes
);

}  // namespace uidnfs::nfs::v3
