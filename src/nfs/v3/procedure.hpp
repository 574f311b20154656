// SPDX-License-Identifier: Apache-2.0
// The 22 procedures of NFS version 3 (RFC 1813 section 3.3), by number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace uidnfs::nfs::v3 {

inline constexpr std::uint32_t kNfsProgram = 100003;
inline constexpr std::uint32_t kNfsVersion = 3;

enum class Procedure : std::uint32_t {
    null = 0,
    getattr = 1,
    setattr = 2,
    lookup = 3,
    access = 4,
    readlink = 5,
    read = 6,
    write = 7,
    create = 8,
    mkdir = 9,
    symlink = 10,
    mknod = 11,
    remove = 12,
    rmdir = 13,
    rename = 14,
    link = 15,
    readdir = 16,
    readdirplus = 17,
    fsstat = 18,
    fsinfo = 19,
    pathconf = 20,
    commit = 21,
};
inline constexpr std::size_t kProcedures = 22;

/// "GETATTR"
std::string_view to_string(Procedure procedure) noexcept;

}  // namespace uidnfs::nfs::v3
