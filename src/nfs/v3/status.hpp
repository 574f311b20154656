// SPDX-License-Identifier: Apache-2.0
// nfsstat3 (RFC 1813 section 2.6) and its errno. Pure.
#pragma once

#include "core/error.hpp"

#include <cstdint>
#include <optional>

namespace uidnfs::nfs::v3 {

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

/// Nothing for a number that RFC 1813 does not have.
std::optional<Status> to_status(std::uint32_t wire) noexcept;

/// The errno for an application, 0 for ok. Choices that are ours: BADHANDLE is ESTALE (what the
/// application can do is the same), NOT_SYNC is EBUSY (the object changed under the guard),
/// BAD_COOKIE and BADTYPE are EINVAL, SERVERFAULT and REMOTE are EIO, JUKEBOX is EAGAIN, which the
/// client never passes on: it waits and asks again.
int to_errno(Status status) noexcept;

/// For what stands in a reply; a status that is unknown is EIO from the protocol.
core::Error to_error(std::uint32_t wire) noexcept;

inline bool is_status(const core::Error& error, Status status) noexcept {
    return error.source() == core::ErrorSource::nfs &&
           error.detail() == static_cast<std::uint32_t>(status);
}

}  // namespace uidnfs::nfs::v3
