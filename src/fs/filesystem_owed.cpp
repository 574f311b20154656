// SPDX-License-Identifier: Apache-2.0
// Owed attributes: CREATE EXCLUSIVE keeps its verifier in the times of the new file and gives it no
// mode (RFC 1813 3.3.8). The SETATTR that follows is in flight while the maker writes, and is
// waited for by its close and by whoever needs what it sets. The open file's record has the mode:
// the next worker repeats it.
#include "core/log.hpp"
#include "fs/filesystem.hpp"

#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>

namespace uidnfs::fs {

bool Filesystem::may_owe(int flags) const noexcept {
    // The kernel sends no FLUSH for what only reads; who wants to hear the server each time, waits.
    if ((flags & O_ACCMODE) == O_RDONLY || (flags & (O_SYNC | O_DSYNC))) return false;
    return options_.write_mode == WriteMode::async &&
           options_.timers.file_max > std::chrono::milliseconds(0);
}

void Filesystem::begin_owed(const OpenFileRef& file, std::uint32_t mode) {
    // The CREATE of a worker that died, again: the next one has begun to repeat what it owed.
    if (file->inode->owed_mode) return;
    opens_.record_owed(*file, mode);
    file->inode->owed_mode = mode;
    ++owed_;
    core::spawn(pay(file, mode));
}

core::Task<void> Filesystem::pay(OpenFileRef file, std::uint32_t mode) {
    const auto inode = file->inode;
    nfs::SetAttr attributes;
    attributes.mode = mode;
    attributes.atime.how = nfs::TimeChange::How::server_time;
    attributes.mtime.how = nfs::TimeChange::How::server_time;
    inode->attrs.begin_change();
    const nfs::CallContext context{file->context.credential};
    const auto set = co_await deps_.client.setattr(context, file->ref, attributes, std::nullopt);
    finish_change(inode, set ? *set : nfs::Wcc{});
    if (!set) co_await fail_owed(file, set.error());
    opens_.record_paid(*file);
    inode->owed_mode.reset();
    --owed_;
    owed_answered_.notify_all();
}

core::Task<void> Filesystem::fail_owed(OpenFileRef file, core::Error error) {
    const auto inode = file->inode;
    on_error(*inode, error);
    inode->attrs.expire();
    inode->write_error.set(error.code());
    inodes_.record_error(*inode);
    core::log::warning(
        "mode and times of the new file {} cannot be set: {}",
        core::log::printable(inodes_.path_of(*inode)),
        core::to_string(error)
    );
    // Nobody can use it; what was written to it meanwhile stays.
    if (inode->names.empty() || inode->silly || inode->local_end() > 0) co_return;
    const auto name = inode->names.front();
    const auto parent = inodes_.find(name.parent);
    if (!parent) co_return;
    parent->attrs.begin_change();
    const nfs::CallContext context{file->context.credential};
    co_await remove_failed_create(context, parent, name.name, inode->handle);
    finish_change(parent, nfs::Wcc{});
    parent->known.reset();
    deps_.invalidator.entry(parent->id, name.name);
}

core::Task<void> Filesystem::paid(InodeRef inode) {
    while (inode->owed_mode) co_await owed_answered_.wait();
}

core::Task<void> Filesystem::all_paid(core::SteadyTime deadline) {
    boost::asio::steady_timer alarm(deps_.reactor.io(), deadline);
    alarm.async_wait([this](const boost::system::error_code& error) {
        if (!error) owed_answered_.notify_all();
    });
    while (owed_ > 0 && std::chrono::steady_clock::now() < deadline) {
        co_await owed_answered_.wait();
    }
}

}  // namespace uidnfs::fs
