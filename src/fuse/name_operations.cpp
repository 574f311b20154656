// SPDX-License-Identifier: Apache-2.0
// Trampolines for names and attributes.
#include <cerrno>
#include <cstdio>
#include <optional>

#include "fuse/operations.hpp"
#include "fuse/serve.hpp"

namespace uidnfs::fuse {
namespace {

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
    serve_size<fs::Entry>(request, 0, [&](auto& filesystem, auto caller) {
        return filesystem.lookup(caller, parent, name);
    });
}

void forget(fuse_req_t request, fuse_ino_t id, std::uint64_t count) {
    guarded([&] { glue_of(request).filesystem.forget(id, count); });
    fuse_reply_none(request);
}

void forget_multi(fuse_req_t request, std::size_t count, fuse_forget_data* forgets) {
    guarded([&] {
        auto& filesystem = glue_of(request).filesystem;
        for (std::size_t i = 0; i < count; ++i) {
            filesystem.forget(forgets[i].ino, forgets[i].nlookup);
        }
    });
    fuse_reply_none(request);
}

void getattr(fuse_req_t request, fuse_ino_t id, fuse_file_info*) {
    serve_size<fs::AttrReply>(request, id, [&](auto& filesystem, auto caller) {
        return filesystem.getattr(caller, id);
    });
}

fs::SetAttrRequest::TimeRequest time_request(int to_set, int set, int now, const timespec& time) {
    using How = fs::SetAttrRequest::TimeRequest::How;
    // The kernel sends FATTR_ATIME together with FATTR_ATIME_NOW.
    if (to_set & now) return {How::now, {}};
    if (to_set & set) return {How::set, time};
    return {};
}

void setattr(
    fuse_req_t request, fuse_ino_t id, struct stat* attr, int to_set, fuse_file_info* file
) {
    fs::SetAttrRequest change;
    if (to_set & FUSE_SET_ATTR_MODE) change.mode = attr->st_mode;
    if (to_set & FUSE_SET_ATTR_UID) change.uid = mapper::ClientUid(attr->st_uid);
    if (to_set & FUSE_SET_ATTR_GID) change.gid = mapper::ClientGid(attr->st_gid);
    if (to_set & FUSE_SET_ATTR_SIZE) change.size = static_cast<std::uint64_t>(attr->st_size);
    change.atime =
        time_request(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim);
    change.mtime =
        time_request(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim);
    if (file) change.open = file->fh;
    serve_size<fs::AttrReply>(request, id, [&](auto& filesystem, auto caller) {
        return filesystem.setattr(caller, id, change);
    });
}

void access(fuse_req_t request, fuse_ino_t id, int mask) {
    serve<void>(request, [&](auto& filesystem, auto caller) {
        return filesystem.access(caller, id, mask);
    });
}

void readlink(fuse_req_t request, fuse_ino_t id) {
    serve<std::string>(request, [&](auto& filesystem, auto caller) {
        return filesystem.readlink(caller, id);
    });
}

void mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
    serve<fs::Entry>(request, [&](auto& filesystem, auto caller) {
        return filesystem.mknod(caller, parent, name, mode, rdev);
    });
}

void mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
    serve<fs::Entry>(request, [&](auto& filesystem, auto caller) {
        return filesystem.mkdir(caller, parent, name, mode);
    });
}

void symlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
    serve<fs::Entry>(request, [&](auto& filesystem, auto caller) {
        return filesystem.symlink(caller, parent, name, target);
    });
}

void link(fuse_req_t request, fuse_ino_t id, fuse_ino_t new_parent, const char* new_name) {
    serve_size<fs::Entry>(request, id, [&](auto& filesystem, auto caller) {
        return filesystem.link(caller, id, new_parent, new_name);
    });
}

void unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
    serve<void>(request, [&](auto& filesystem, auto caller) {
        return filesystem.unlink(caller, parent, name);
    });
}

void rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
    serve<void>(request, [&](auto& filesystem, auto caller) {
        return filesystem.rmdir(caller, parent, name);
    });
}

std::optional<fs::RenameMode> rename_mode(unsigned flags) noexcept {
    switch (flags) {
        case 0: return fs::RenameMode::replace;
        case RENAME_NOREPLACE: return fs::RenameMode::no_replace;
        case RENAME_EXCHANGE: return fs::RenameMode::exchange;
        default: return std::nullopt;
    }
}

void rename(
    fuse_req_t request,
    fuse_ino_t parent,
    const char* name,
    fuse_ino_t new_parent,
    const char* new_name,
    unsigned flags
) {
    const auto mode = rename_mode(flags);
    if (!mode) return refuse(request, EINVAL);
    serve<void>(request, [&](auto& filesystem, auto caller) {
        return filesystem.rename(caller, parent, name, new_parent, new_name, *mode);
    });
}

void statfs(fuse_req_t request, fuse_ino_t id) {
    serve<struct statvfs>(request, [&](auto& filesystem, auto caller) {
        return filesystem.statfs(caller, id);
    });
}

}  // namespace

void add_name_operations(fuse_lowlevel_ops& table) noexcept {
    table.lookup = lookup;
    table.forget = forget;
    table.forget_multi = forget_multi;
    table.getattr = getattr;
    table.setattr = setattr;
    table.access = access;
    table.readlink = readlink;
    table.mknod = mknod;
    table.mkdir = mkdir;
    table.symlink = symlink;
    table.link = link;
    table.unlink = unlink;
    table.rmdir = rmdir;
    table.rename = rename;
    table.statfs = statfs;
}

}  // namespace uidnfs::fuse
