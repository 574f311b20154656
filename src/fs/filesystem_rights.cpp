// SPDX-License-Identifier: Apache-2.0
// Rights: what the server grants to an identity (ACCESS), how long that is believed, and who is
// asked when.
#include "fs/filesystem.hpp"

#include <cerrno>

namespace uidnfs::fs {
namespace {

/// What is written to a device, FIFO or socket does not reach the file system, so that one that is
/// read-only has nothing against it (access(2), EROFS).
bool is_stored(nfs::FileType type) noexcept {
    using enum nfs::FileType;
    return type == regular || type == directory || type == symlink;
}

}  // namespace

void Filesystem::remember_rights(
    Inode& inode, const nfs::CallContext& context, nfs::AccessBits granted
) {
    if (!inode.attrs.has_attr()) return;
    inode.access.whose = context.credential;
    inode.access.granted = granted;
    inode.access.ctime = inode.attrs.attr().ctime;
    inode.access.known = decltype(inode.access)::Known::yes;
}

core::Task<core::Result<nfs::AccessBits>> Filesystem::rights(
    nfs::CallContext context, InodeRef inode
) {
    co_await paid(inode);
    using Known = decltype(inode->access)::Known;
    if (inode->attrs.is_fresh(now()) && inode->access.known == Known::yes &&
        inode->access.whose == context.credential &&
        inode->access.ctime == inode->attrs.attr().ctime) {
        ++counts_.access_hits;
        co_return inode->access.granted;
    }
    ++counts_.access_misses;
    const auto asked = AttrCache::token();
    const auto reply = co_await deps_.client.access(context, inode->handle, nfs::kAccessAll);
    if (!reply) {
        on_error(*inode, reply.error());
        co_return reply.error();
    }
    if (reply->attr) learn(inode, *reply->attr, asked);
    if (reply->attr || inode->attrs.is_fresh(now()))
        remember_rights(*inode, context, reply->granted);
    co_return reply->granted;
}

core::Task<core::Result<void>> Filesystem::access(Caller caller, InodeId id, int mask) {
    const auto admitted = admit(caller, id, Purpose::look);
    if (!admitted) co_return admitted.error();
    const auto inode = admitted->inode;
    if ((mask & W_OK) && options_.writable == Writable::no && is_stored(inode->type)) {
        co_return core::Error(EROFS);
    }
    const auto granted = co_await rights(admitted->context, inode);
    if (!granted) co_return granted.error();
    nfs::AccessBits needed = 0;
    if (mask & R_OK) needed |= nfs::kAccessRead;
    if (mask & W_OK) needed |= nfs::kAccessModify | nfs::kAccessExtend;
    if (mask & X_OK) needed |= inode->is_directory() ? nfs::kAccessLookup : nfs::kAccessExecute;
    if ((*granted & needed) != needed) co_return core::Error(EACCES);
    co_return core::Result<void>();
}

core::Task<core::Result<nfs::AccessBits>> Filesystem::open_rights(
    nfs::CallContext context, InodeRef inode
) {
    if (options_.close_to_open == CloseToOpen::off && inode->attrs.is_fresh(now())) {
        co_return co_await rights(std::move(context), std::move(inode));
    }
    co_await paid(inode);
    const auto asked = AttrCache::token();
    const auto reply = co_await deps_.client.open(context, inode->handle, nfs::kAccessAll);
    if (!reply) {
        on_error(*inode, reply.error());
        co_return reply.error();
    }
    learn(inode, reply->attr, asked);
    remember_rights(*inode, context, reply->granted);
    co_return reply->granted;
}

core::Task<core::Result<nfs::AccessBits>> Filesystem::root_rights(
    nfs::CallContext context, InodeRef root
) {
    for (;;) {
        auto asking = root_rights_question_.ask([&] { return ask_root_rights(context, root); });
        const auto answer = co_await asking;
        // df(1) opens before it asks. The server decides again with each READDIR.
        if (answer == PatientQuestion::Answer::late) co_return nfs::kAccessRead;
        if (root_rights_ && root_rights_->whose == context.credential) {
            co_return root_rights_->granted;
        }
        // That was somebody else's question.
    }
}

core::Task<void> Filesystem::ask_root_rights(nfs::CallContext context, InodeRef root) {
    auto granted = co_await open_rights(context, std::move(root));
    root_rights_.emplace(RootRights{context.credential, std::move(granted)});
}

core::Task<void> Filesystem::close_names(nfs::CallContext context, InodeRef directory) {
    // With identity=caller the kernel checks the modes of directories itself.
    if (options_.identity != IdentityMode::fixed) co_return;
    if (directory->children.empty() && !directory->told_absence) co_return;
    const auto granted = co_await rights(std::move(context), directory);
    if (!granted || (*granted & nfs::kAccessLookup)) co_return;
    deps_.invalidator.all_names();
    directory->told_absence = false;
}

}  // namespace uidnfs::fs
