// SPDX-License-Identifier: Apache-2.0
// The numbers of RFC 1813 as the test server uses them, written down a second time on purpose: the tests
// must not take them from the code under test. Plain values, any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace uidnfs::test {

/// nfsstat3 (RFC 1813 2.6).
enum class Status : std::uint32_t {
    ok = 0,
    perm = 1,
    noent = 2,
    io = 5,
    nxio = 6,
    acces = 13,
    exist = 17,
    xdev = 18,
    nodev = 19,
    notdir = 20,
    isdir = 21,
    inval = 22,
    fbig = 27,
    nospc = 28,
    rofs = 30,
    mlink = 31,
    nametoolong = 63,
    notempty = 66,
    dquot = 69,
    stale = 70,
    remote = 71,
    badhandle = 10001,
    not_sync = 10002,
    bad_cookie = 10003,
    notsupp = 10004,
    toosmall = 10005,
    serverfault = 10006,
    badtype = 10007,
    jukebox = 10008,
};

/// Procedures of NFS version 3 by number (RFC 1813 3.3).
enum class Procedure : std::uint32_t {
    null = 0,
    getattr,
    setattr,
    lookup,
    access,
    readlink,
    read,
    write,
    create,
    mkdir,
    symlink,
    mknod,
    remove,
    rmdir,
    rename,
    link,
    readdir,
    readdirplus,
    fsstat,
    fsinfo,
    pathconf,
    commit,
};
inline constexpr std::uint32_t kProcedures = 22;

/// "GETATTR".
std::string_view to_string(Procedure procedure) noexcept;
/// "NFS3ERR_STALE".
std::string_view to_string(Status status) noexcept;
/// What an application gets for a status when nothing in between interprets it; positive errno(3).
int to_errno(Status status) noexcept;

}  // namespace uidnfs::test
