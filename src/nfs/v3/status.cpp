// SPDX-License-Identifier: Apache-2.0
#include "nfs/v3/status.hpp"

#include "nfs/v3/procedure.hpp"

#include <cerrno>

namespace uidnfs::nfs::v3 {
namespace {

/// errno of a status, -1 when it is none: the one table of this layer.
int errno_of(Status status) noexcept {
    switch (status) {
        case Status::ok: return 0;
        case Status::perm: return EPERM;
        case Status::noent: return ENOENT;
        case Status::io: return EIO;
        case Status::nxio: return ENXIO;
        case Status::acces: return EACCES;
        case Status::exist: return EEXIST;
        case Status::xdev: return EXDEV;
        case Status::nodev: return ENODEV;
        case Status::notdir: return ENOTDIR;
        case Status::isdir: return EISDIR;
        case Status::inval: return EINVAL;
        case Status::fbig: return EFBIG;
        case Status::nospc: return ENOSPC;
        case Status::rofs: return EROFS;
        case Status::mlink: return EMLINK;
        case Status::nametoolong: return ENAMETOOLONG;
        case Status::notempty: return ENOTEMPTY;
        case Status::dquot: return EDQUOT;
        case Status::stale: return ESTALE;
        case Status::remote: return EIO;
        case Status::badhandle: return ESTALE;
        case Status::not_sync: return EBUSY;
        case Status::bad_cookie: return EINVAL;
        case Status::notsupp: return ENOTSUP;
        case Status::toosmall: return EIO;
        case Status::serverfault: return EIO;
        case Status::badtype: return EINVAL;
        case Status::jukebox: return EAGAIN;
    }
    return -1;
}

}  // namespace

std::optional<Status> to_status(std::uint32_t wire) noexcept {
    const auto status = static_cast<Status>(wire);
    if (errno_of(status) < 0) return std::nullopt;
    return status;
}

int to_errno(Status status) noexcept { return errno_of(status); }

core::Error to_error(std::uint32_t wire) noexcept {
    if (const auto status = to_status(wire)) {
        return core::Error(to_errno(*status), core::ErrorSource::nfs, wire);
    }
    return core::Error(EIO, core::ErrorSource::protocol);
}

std::string_view to_string(Procedure procedure) noexcept {
    switch (procedure) {
        case Procedure::null: return "NULL";
        case Procedure::getattr: return "GETATTR";
        case Procedure::setattr: return "SETATTR";
        case Procedure::lookup: return "LOOKUP";
        case Procedure::access: return "ACCESS";
        case Procedure::readlink: return "READLINK";
        case Procedure::read: return "READ";
        case Procedure::write: return "WRITE";
        case Procedure::create: return "CREATE";
        case Procedure::mkdir: return "MKDIR";
        case Procedure::symlink: return "SYMLINK";
        case Procedure::mknod: return "MKNOD";
        case Procedure::remove: return "REMOVE";
        case Procedure::rmdir: return "RMDIR";
        case Procedure::rename: return "RENAME";
        case Procedure::link: return "LINK";
        case Procedure::readdir: return "READDIR";
        case Procedure::readdirplus: return "READDIRPLUS";
        case Procedure::fsstat: return "FSSTAT";
        case Procedure::fsinfo: return "FSINFO";
        case Procedure::pathconf: return "PATHCONF";
        case Procedure::commit: return "COMMIT";
    }
    return "?";
}

}  // namespace uidnfs::nfs::v3
