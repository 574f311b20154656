// SPDX-License-Identifier: Apache-2.0
// The MOUNT service, version 3 (RFC 1813 appendix I): from an export's path to its file handle.
#pragma once

#include "nfs/rpc/transport.hpp"
#include "nfs/types.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace uidnfs::nfs::mount3 {

inline constexpr std::uint32_t kProgram = 100005;
inline constexpr std::uint32_t kVersion = 3;
inline constexpr std::size_t kMaxPathBytes = 1024;  ///< MNTPATHLEN

/// mountstat3.
enum class Status : std::uint32_t {
    ok = 0,
    perm = 1,
    noent = 2,
    io = 5,
    acces = 13,
    notdir = 20,
    inval = 22,
    nametoolong = 63,
    notsupp = 10004,
    serverfault = 10006,
};

/// From ErrorSource::mount; EIO for a number that RFC 1813 does not have.
core::Error to_error(std::uint32_t wire) noexcept;

struct Export {
    FileHandle root;
    std::vector<std::uint32_t> flavours;  ///< RFC 5531 8.2, RFC 2623; best first, may be empty
    std::string path = {};                ///< that the server knows it by
};

/// AUTH_SYS among them, or nothing said about it, or AUTH_NONE: a server that says that looks at no
/// credential and takes any (nfs_verify_authflavors() of Linux).
bool allows_sys(const Export& answer) noexcept;
/// AUTH_NONE and not AUTH_SYS: everybody is the server's anonymous user there.
bool ignores_identity(const Export& answer) noexcept;
/// "krb5, krb5i"
std::string describe_flavours(const std::vector<std::uint32_t>& flavours);

/// MNT; once more with a slash at its end where the server knows no `path`: a slash that somebody
/// writes there is dropped, and some servers' names have one. REQUIRES: path.size() <=
/// kMaxPathBytes.
core::Task<core::Result<Export>> mount(
    rpc::Transport& transport, const mapper::Credential& credential, std::string path
);
/// UMNT: for the server's list of clients only.
core::Task<core::Result<void>> unmount(
    rpc::Transport& transport, const mapper::Credential& credential, std::string path
);

/// Results of MNT. Pure; libnfs's decoder of this reply writes beyond its memory.
core::Result<Export> decode_mount(std::span<const std::byte> results);

}  // namespace uidnfs::nfs::mount3
