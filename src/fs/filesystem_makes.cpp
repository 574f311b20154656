// SPDX-License-Identifier: Apache-2.0
// What is made with a name of its own: directories, links, devices, files that are not opened.
#include "fs/filesystem.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <utility>

namespace uidnfs::fs {
namespace {

nfs::SetAttr with_mode(mode_t mode) {
    nfs::SetAttr attributes;
    attributes.mode = mode & 07777;
    return attributes;
}

}  // namespace

core::Task<core::Result<InodeRef>> Filesystem::adopt_created(
    nfs::CallContext context, InodeRef parent, std::string name, nfs::CreateReply reply
) {
    // It is there, whatever comes of asking what it is.
    if (parent->known) parent->known->changed(name);
    // RFC 1813 3.3.8: a server may leave out the handle or the attributes of what it made.
    if (!reply.handle) {
        const auto looked = co_await deps_.client.lookup(context, parent->handle, name);
        if (!looked) co_return looked.error();
        reply.handle = looked->handle;
        reply.attr = looked->attr;
    }
    if (!reply.attr) {
        const auto fetched = co_await deps_.client.getattr(context, *reply.handle);
        if (!fetched) co_return fetched.error();
        reply.attr = *fetched;
    }
    const auto inode = inodes_.get(*reply.handle, *reply.attr);
    if (!inode) co_return core::Error(ENFILE);
    learn(inode, *reply.attr, AttrCache::kUnordered);
    inodes_.add_name(parent, name, inode);
    co_return inode;
}

core::Task<core::Result<Entry>> Filesystem::finish_create(
    nfs::CallContext context,
    InodeRef parent,
    std::string name,
    core::Result<nfs::CreateReply> reply
) {
    finish_change(parent, reply ? reply->dir : nfs::Wcc{});
    if (!reply) {
        on_surprise(*parent, reply.error());
        co_return reply.error();
    }
    const auto inode = co_await adopt_created(std::move(context), parent, name, std::move(*reply));
    if (!inode) co_return inode.error();
    co_return entry(*parent, *inode);
}

core::Task<core::Result<Entry>> Filesystem::mkdir(
    Caller caller, InodeId parent_id, std::string name, mode_t mode
) {
    const auto admitted = admit(caller, parent_id, Purpose::change);
    if (!admitted) co_return admitted.error();
    const auto parent = admitted->inode;
    const auto ctx = admitted->context;
    auto locking = changing_names_.lock({parent->id, name});
    const auto lock = co_await locking;
    parent->attrs.begin_change();
    auto reply = co_await deps_.client.mkdir(ctx, parent->handle, name, with_mode(mode));
    const bool is_new = reply && reply->handle && reply->attr;
    auto made = co_await finish_create(ctx, parent, name, std::move(reply));
    if (made && is_new) {
        if (const auto known = names_of(inodes_.find(made->id))) known->begin_empty();
    }
    co_return made;
}

core::Task<core::Result<Entry>> Filesystem::symlink(
    Caller caller, InodeId parent_id, std::string name, std::string target
) {
    const auto admitted = admit(caller, parent_id, Purpose::change);
    if (!admitted) co_return admitted.error();
    const auto parent = admitted->inode;
    const auto ctx = admitted->context;
    auto locking = changing_names_.lock({parent->id, name});
    const auto lock = co_await locking;
    parent->attrs.begin_change();
    auto reply = co_await deps_.client.symlink(ctx, parent->handle, name, target, with_mode(0777));
    co_return co_await finish_create(ctx, parent, name, std::move(reply));
}

core::Task<core::Result<Entry>> Filesystem::mknod(
    Caller caller, InodeId parent_id, std::string name, mode_t mode, dev_t rdev
) {
    const auto admitted = admit(caller, parent_id, Purpose::change);
    if (!admitted) co_return admitted.error();
    const auto parent = admitted->inode;
    const auto ctx = admitted->context;
    const auto attributes = with_mode(mode);
    nfs::FileType type;
    switch (mode & S_IFMT) {
        case 0:
        case S_IFREG: type = nfs::FileType::regular; break;
        case S_IFIFO: type = nfs::FileType::fifo; break;
        case S_IFSOCK: type = nfs::FileType::socket; break;
        case S_IFBLK: type = nfs::FileType::block_device; break;
        case S_IFCHR: type = nfs::FileType::character_device; break;
        default: co_return core::Error(EINVAL);
    }
    auto locking = changing_names_.lock({parent->id, name});
    const auto lock = co_await locking;
    parent->attrs.begin_change();
    core::Result<nfs::CreateReply> reply = core::Error(EIO);
    if (type == nfs::FileType::regular) {
        reply = co_await deps_.client.create(
            ctx, parent->handle, name, nfs::CreateHow::guarded, attributes, nfs::Verifier{}
        );
    } else {
        reply = co_await deps_.client.mknod(
            ctx, parent->handle, name, type, major(rdev), minor(rdev), attributes
        );
    }
    co_return co_await finish_create(ctx, parent, name, std::move(reply));
}

}  // namespace uidnfs::fs
