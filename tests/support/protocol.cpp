// SPDX-License-Identifier: Apache-2.0
#include "support/protocol.hpp"

#include <array>
#include <cerrno>

namespace uidnfs::test {
namespace {

constexpr std::array<std::string_view, kProcedures> kProcedureNames{
    "NULL",   "GETATTR", "SETATTR", "LOOKUP",  "ACCESS",      "READLINK", "READ",   "WRITE",
    "CREATE", "MKDIR",   "SYMLINK", "MKNOD",   "REMOVE",      "RMDIR",    "RENAME", "LINK",
    "READDIR", "READDIRPLUS", "FSSTAT", "FSINFO", "PATHCONF", "COMMIT",
};

struct Row {
    Status status;
    std::string_view name;
    int code;
};

constexpr std::array kRows{
    Row{Status::ok, "NFS3_OK", 0},
    Row{Status::perm, "NFS3ERR_PERM", EPERM},
    Row{Status::noent, "NFS3ERR_NOENT", ENOENT},
    Row{Status::io, "NFS3ERR_IO", EIO},
    Row{Status::nxio, "NFS3ERR_NXIO", ENXIO},
    Row{Status::acces, "NFS3ERR_ACCES", EACCES},
    Row{Status::exist, "NFS3ERR_EXIST", EEXIST},
    Row{Status::xdev, "NFS3ERR_XDEV", EXDEV},
    Row{Status::nodev, "NFS3ERR_NODEV", ENODEV},
    Row{Status::notdir, "NFS3ERR_NOTDIR", ENOTDIR},
    Row{Status::isdir, "NFS3ERR_ISDIR", EISDIR},
    Row{Status::inval, "NFS3ERR_INVAL", EINVAL},
    Row{Status::fbig, "NFS3ERR_FBIG", EFBIG},
    Row{Status::nospc, "NFS3ERR_NOSPC", ENOSPC},
    Row{Status::rofs, "NFS3ERR_ROFS", EROFS},
    Row{Status::mlink, "NFS3ERR_MLINK", EMLINK},
    Row{Status::nametoolong, "NFS3ERR_NAMETOOLONG", ENAMETOOLONG},
    Row{Status::notempty, "NFS3ERR_NOTEMPTY", ENOTEMPTY},
    Row{Status::dquot, "NFS3ERR_DQUOT", EDQUOT},
    Row{Status::stale, "NFS3ERR_STALE", ESTALE},
    Row{Status::remote, "NFS3ERR_REMOTE", EREMOTE},
    Row{Status::badhandle, "NFS3ERR_BADHANDLE", ESTALE},
    Row{Status::not_sync, "NFS3ERR_NOT_SYNC", EBUSY},
    Row{Status::bad_cookie, "NFS3ERR_BAD_COOKIE", EINVAL},
    Row{Status::notsupp, "NFS3ERR_NOTSUPP", ENOTSUP},
    Row{Status::toosmall, "NFS3ERR_TOOSMALL", EINVAL},
    Row{Status::serverfault, "NFS3ERR_SERVERFAULT", EIO},
    Row{Status::badtype, "NFS3ERR_BADTYPE", EINVAL},
    Row{Status::jukebox, "NFS3ERR_JUKEBOX", EAGAIN},
};

}  // namespace

std::string_view to_string(Procedure procedure) noexcept {
    const auto index = static_cast<std::uint32_t>(procedure);
    return index < kProcedures ? kProcedureNames[index] : "?";
}

std::string_view to_string(Status status) noexcept {
    for (const auto& row : kRows) {
        if (row.status == status) return row.name;
    }
    return "?";
}

int to_errno(Status status) noexcept {
    for (const auto& row : kRows) {
        if (row.status == status) return row.code;
    }
    return EIO;
}

}  // namespace uidnfs::test
