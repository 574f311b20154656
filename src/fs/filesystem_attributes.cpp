// SPDX-License-Identifier: Apache-2.0
// Attributes: what replies tell about an inode, how long that holds, and changing it.
#include "fs/file_type.hpp"
#include "fs/filesystem.hpp"
#include "fs/timed.hpp"

#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace uidnfs::fs {
namespace {

/// Between the LOOKUP and the GETATTR of one stat(2), at most.
constexpr std::chrono::milliseconds kOneCall{500};

timespec to_timespec(const nfs::Time& time) noexcept {
    return {static_cast<time_t>(time.seconds), static_cast<long>(time.nanoseconds)};
}

/// NFSv3 has unsigned 32-bit seconds: times outside are cut, as the kernel's client has them cut.
nfs::TimeChange to_change(const SetAttrRequest::TimeRequest& request) noexcept {
    using How = SetAttrRequest::TimeRequest::How;
    switch (request.how) {
        case How::keep: return {};
        case How::now: return {nfs::TimeChange::How::server_time, {}};
        case How::set: break;
    }
    constexpr std::int64_t kLast = std::numeric_limits<std::uint32_t>::max();
    const auto seconds = std::clamp<std::int64_t>(request.time.tv_sec, 0, kLast);
    const bool cut = seconds != request.time.tv_sec;
    const auto nanoseconds = cut ? 0u : static_cast<std::uint32_t>(request.time.tv_nsec);
    return {nfs::TimeChange::How::client_time, {seconds, nanoseconds}};
}

/// A container engine gives what it copies, and the share's root, the image's owners, and the root
/// its mode and times as well. Files are the identity's, and the root is not the container's.
void swallow_copy_up(SetAttrRequest& request, InodeId id) {
    request.uid.reset();
    request.gid.reset();
    if (id != kRootId) return;
    request.mode.reset();
    request.atime = {};
    request.mtime = {};
}

}  // namespace

void Filesystem::on_foreign_change(const InodeRef& inode) {
    // The kernel believes its attributes for as long as it was told to; a reader that opens the
    // file now must not stop at the old size.
    drop_attributes(*inode);
    if (inode->known) inode->known = inode->known->after_change();
    ++inode->content;
    // Where a link leads the kernel keeps without asking again, whatever its times say.
    const bool is_kept_link = inode->type == nfs::FileType::symlink && inode->lookups > 0;
    if (is_kept_link) deps_.invalidator.inode(inode->id, 0, 0);
    if (!inode->is_regular()) return;
    writer_.note_overtaken(*inode);
    // Nobody has it open: the next open decides by the stamp, no need to bother the kernel. Whoever
    // has it open may have read new pages since the last change.
    inode->pages.reset();
    if (inode->opens == 0) return;
    drop_pages(inode, 0, 0);
    inode->in_kernel = InKernel::no;
}

void Filesystem::drop_attributes(const Inode& inode) {
    if (inode.lookups > 0) deps_.invalidator.attributes(inode.id);
}

void Filesystem::drop_pages(const InodeRef& inode, std::uint64_t offset, std::uint64_t length) {
    if (inode->opens > 0) note_drop(*inode);
    deps_.invalidator.inode(
        inode->id, static_cast<std::int64_t>(offset), static_cast<std::int64_t>(length)
    );
}

void Filesystem::note_drop(Inode& inode) const {
    if (!inode.rereads) inode.rereads = std::make_unique<Rereads>();
    inode.rereads->note_drop(now());
}

void Filesystem::on_lost(const InodeRef& inode, std::uint64_t offset, std::uint64_t length) {
    // The kernel's pages show what the server refused; its own bytes are the truth from now on.
    ++inode->content;
    inode->pages.reset();
    inode->attrs.expire();
    if (inode->lookups == 0 && inode->opens == 0) return;
    deps_.invalidator.attributes(inode->id);
    drop_pages(inode, offset, length);
}

void Filesystem::on_error(Inode& inode, const core::Error& error) noexcept {
    // The kernel looks the path up again by itself (retry_estale() in its fs/namei.c and callers)
    // and gets another inode; whoever holds the file open hears ESTALE.
    if (error.code() != ESTALE) return;
    inode.attrs.expire();
    inode.known.reset();
    inode.access.known = decltype(inode.access)::Known::no;
    inode.pages.reset();
    ++inode.content;
}

void Filesystem::on_surprise(Inode& directory, const core::Error& error) {
    on_error(directory, error);
    if (error.code() != EEXIST && error.code() != ENOENT) return;
    directory.known.reset();
    directory.attrs.expire();
    deps_.invalidator.all_names();
}

void Filesystem::settle_pages(Inode& inode, WallTime read_since) {
    if (!inode.pages) return;
    const auto& attr = inode.attrs.attr();
    inode.pages = PageStamp{
        stamp_of(attr),
        server_clock_.is_young(attr.mtime, read_since) ? PageStamp::Age::young
                                                       : PageStamp::Age::settled};
}

void Filesystem::carry_pages(Inode& inode) {
    // A change that they may miss was in the tick of their old stamp: the new one proves nothing.
    const bool were_young = inode.pages && inode.pages->age == PageStamp::Age::young;
    settle_pages(inode, wall_now());
    if (were_young) inode.pages->age = PageStamp::Age::young;
}

void Filesystem::learn(const InodeRef& inode, const nfs::Attr& attr, AttrCache::Token asked) {
    if (inode->attrs.has_attr()) numbers_.learn(inode->attrs.attr(), attr);
    switch (inode->attrs.learn(attr, asked, now(), timers(*inode))) {
        case Change::none: break;
        case Change::own: carry_pages(*inode); break;
        case Change::unknown:
        case Change::foreign: on_foreign_change(inode); break;
    }
    writer_.note_attributes(*inode);
}

void Filesystem::finish_change(const InodeRef& inode, const nfs::Wcc& wcc) {
    if (wcc.after) server_clock_.observe(wcc.after->ctime, wall_now());
    if (wcc.after && inode->attrs.has_attr()) numbers_.learn(inode->attrs.attr(), *wcc.after);
    inode->changed_at = ++changes_;
    const auto confirmed = inode->attrs.confirmed();
    switch (inode->attrs.end_change(wcc, now(), timers(*inode))) {
        case Change::none: break;
        case Change::own:
            if (inode->attrs.has_attr()) carry_pages(*inode);
            break;
        case Change::unknown:
            // Somebody else may have written as well: the next open reads anew.
            ++inode->content;
            inode->pages.reset();
            if (inode->known) inode->known->doubt(confirmed);
            break;
        case Change::foreign: on_foreign_change(inode); break;
    }
    writer_.note_attributes(*inode);
}

struct stat Filesystem::present(const Inode& inode, const nfs::Attr& attr) const {
    struct stat out {};
    out.st_ino = numbers_.of(attr.fsid, attr.fileid);
    out.st_mode = type_bits(attr.type) | (attr.mode & 07777);
    // A file that was removed while open still has its silly name on the server.
    out.st_nlink = inode.silly && attr.nlink > 0 ? attr.nlink - 1 : attr.nlink;
    out.st_uid = options_.presenter.present(attr.uid).value();
    out.st_gid = options_.presenter.present(attr.gid).value();
    out.st_rdev = makedev(attr.rdev_major, attr.rdev_minor);
    out.st_size = static_cast<off_t>(std::min<std::uint64_t>(
        std::max(attr.size, inode.local_end()), std::numeric_limits<off_t>::max()
    ));
    out.st_blksize = static_cast<blksize_t>(deps_.client.fs_info().write_preferred);
    out.st_blocks = static_cast<blkcnt_t>((attr.used + 511) / 512);
    out.st_atim = to_timespec(attr.atime);
    out.st_mtim = to_timespec(attr.mtime);
    out.st_ctim = to_timespec(attr.ctime);
    if (inode.owed_mode) {
        // The server has the verifier in the times, and no mode.
        out.st_mode = type_bits(attr.type) | *inode.owed_mode;
        out.st_atim = out.st_mtim = out.st_ctim;
    }
    return out;
}

std::uint64_t Filesystem::number_in(const Inode& directory, std::uint64_t fileid) const {
    return directory.attrs.has_attr() ? numbers_.of(directory.attrs.attr().fsid, fileid) : fileid;
}

Validity Filesystem::attr_valid(const Inode& inode) const {
    // Names and listings must not show for a moment what getattr() would wait for.
    const bool waits =
        inode.owed_mode ||
        (inode.file && (inode.file->extents.has_unsent() || inode.file->extents.is_overtaken()));
    return waits ? Validity(0) : inode.attrs.remaining(now());
}

AttrReply Filesystem::attr_reply(const Inode& inode, const nfs::Attr& told) const {
    return {present(inode, newest(inode, told)), attr_valid(inode)};
}

Validity Filesystem::entry_valid(const Inode& parent) const {
    if (options_.lookup_cache == LookupCache::none) return Validity(0);
    return parent.attrs.remaining(now());
}

Entry Filesystem::entry(const Inode& parent, const InodeRef& inode, const nfs::Attr& told) {
    inodes_.add_lookup(*inode);
    const auto reply = attr_reply(*inode, told);
    return {inode->id, reply.stat, reply.attr_valid, entry_valid(parent)};
}

Entry Filesystem::absent(Inode& parent) const {
    Entry negative;
    // Where case is folded the name may come to be by another one that is made.
    if (options_.lookup_cache == LookupCache::all && !folds_case()) {
        negative.entry_valid = entry_valid(parent);
    }
    if (negative.entry_valid > Validity(0)) parent.told_absence = true;
    return negative;
}

core::Task<core::Result<nfs::Attr>> Filesystem::fetch(nfs::CallContext context, InodeRef inode) {
    const auto asked = AttrCache::token();
    auto attr = co_await deps_.client.getattr(context, inode->handle);
    if (!attr) {
        on_error(*inode, attr.error());
        co_return attr.error();
    }
    learn(inode, *attr, asked);
    // Shown to the kernel it would make the inode bad for ever, which for the root is the mount.
    if (inode->attrs.is_of_another_type(*attr)) co_return core::Error(ESTALE);
    co_return attr;
}

core::Task<core::Result<nfs::Attr>> Filesystem::refresh(nfs::CallContext context, InodeRef inode) {
    if (inode->attrs.is_fresh(now())) {
        ++counts_.attribute_hits;
        co_return inode->attrs.attr();
    }
    ++counts_.attribute_misses;
    // The server may answer before bytes of ours arrive there that are gone from here by then.
    const auto end = inode->local_end();
    auto told = co_await fetch(std::move(context), std::move(inode));
    if (told) told->size = std::max(told->size, end);
    co_return told;
}

core::Task<void> Filesystem::refresh_root(nfs::CallContext context, InodeRef inode) {
    const auto refreshed = co_await refresh(std::move(context), std::move(inode));
    root_error_ = refreshed ? std::nullopt : std::optional(refreshed.error());
}

bool Filesystem::is_gone(const Inode& inode, const core::Error& error) noexcept {
    return error.code() == ESTALE && inode.unlinked == Inode::Unlinked::yes &&
           inode.attrs.has_attr();
}

AttrReply Filesystem::gone_reply(const Inode& inode) const {
    AttrReply reply{present(inode, inode.attrs.attr()), Validity(0)};
    reply.stat.st_nlink = 0;
    return reply;
}

core::Task<core::Result<AttrReply>> Filesystem::getattr(Caller caller, InodeId id) {
    auto found = enter(caller, id);
    if (is_denied()) co_return core::Error(EACCES);
    if (!found && id == kRootId) found = inodes_.find(id);  // its attributes are no secret
    if (!found) co_return found.error();
    const auto inode = *found;
    const auto named = id == kRootId ? context_for_mount(caller) : context(caller);
    if (!named) co_return named.error();
    const auto ctx = *named;
    // What the LOOKUP of this call saw, unsent bytes of a file that is removed meanwhile included.
    std::optional<AttrReply> seen;
    const bool is_known = inode->attrs.has_attr() && !inode->attrs.is_doubted();
    if (inode->opens == 0 && is_known && now() - inode->looked_up < kOneCall) {
        seen = attr_reply(*inode);
    }
    // mtime and ctime of unsent data are the server's to give.
    if (inode->file && inode->file->extents.has_unsent()) {
        co_await writer_.flush(inode, Writer::Reach::server, nfs::Stability::unstable);
    }
    co_await paid(inode);
    if (id == kRootId && inode->attrs.has_attr()) {
        if (inode->attrs.is_fresh(now())) {
            ++counts_.attribute_hits;
            co_return attr_reply(*inode);
        }
        auto asking = root_question_.ask([&] { return refresh_root(ctx, inode); });
        const auto answer = co_await asking;
        if (answer == PatientQuestion::Answer::came && root_error_) co_return *root_error_;
        co_return attr_reply(*inode);
    }
    if (inode->attrs.is_fresh(now())) {
        note_fresh(*inode);
    } else {
        note_stale(ctx, *inode);
    }
    auto refreshed = co_await refresh_links(ctx, inode);
    if (refreshed && inode->file && inode->file->extents.is_overtaken()) {
        co_await writer_.catch_up(inode);
        refreshed = co_await refresh_links(ctx, inode);
    }
    if (!refreshed) {
        if (is_gone(*inode, refreshed.error())) co_return gone_reply(*inode);
        // stat(2) of a name that is replaced all the time: the kernel looks up once more, which may
        // meet the next replacement. What was there a moment ago is an answer.
        if (refreshed.error().code() != ESTALE || !seen) co_return refreshed.error();
        co_return *seen;
    }
    co_return attr_reply(*inode, *refreshed);
}

core::Task<core::Result<std::string>> Filesystem::readlink(Caller caller, InodeId id) {
    const auto admitted = admit(caller, id, Purpose::look);
    if (!admitted) co_return admitted.error();
    const auto inode = admitted->inode;
    const auto asked = AttrCache::token();
    auto reply = co_await deps_.client.readlink(admitted->context, inode->handle);
    if (!reply) co_return reply.error();
    if (reply->attr) learn(inode, *reply->attr, asked);
    co_return std::move(reply->target);
}

core::Task<core::Result<void>> Filesystem::set(
    nfs::CallContext context, InodeRef inode, nfs::OpenRef open, nfs::SetAttr attributes
) {
    co_await paid(inode);
    if (attributes.empty()) co_return core::Result<void>();
    inode->attrs.begin_change();
    const auto reply = co_await deps_.client.setattr(context, open, attributes, std::nullopt);
    finish_change(inode, reply ? *reply : nfs::Wcc{});
    if (attributes.size) ++inode->content;
    if (!reply) {
        on_error(*inode, reply.error());
        co_return reply.error();
    }
    // A new mode or owner may give or take rights, whatever the clock's tick says.
    inode->access.known = decltype(inode->access)::Known::no;
    if (inode->is_directory() && (attributes.mode || attributes.uid || attributes.gid)) {
        inode->known.reset();
        co_await close_names(context, inode);
    }
    co_return core::Result<void>();
}

core::Task<core::Result<nfs::Attr>> Filesystem::change(
    nfs::CallContext context, InodeRef inode, nfs::OpenRef open, nfs::SetAttr attributes
) {
    const auto done = co_await set(context, inode, open, attributes);
    if (!done) co_return done.error();
    co_return co_await refresh(context, inode);
}

core::Task<core::Result<AttrReply>> Filesystem::setattr(
    Caller caller, InodeId id, SetAttrRequest request
) {
    const auto admitted = admit(caller, id, Purpose::change);
    if (!admitted) co_return admitted.error();
    const auto inode = admitted->inode;
    auto ctx = admitted->context;
    if (options_.copy_up == CopyUp::swallowed && caller.uid.value() == 0) {
        swallow_copy_up(request, id);
    }
    nfs::OpenRef ref{inode->handle};
    if (request.open) {
        if (const auto file = opens_.find(*request.open)) {
            ref = file->ref;
            ctx = file->context;
        }
    }
    // A server lets the owner set any size, for the sake of open files; truncate(2) needs the
    // right.
    if (request.size && !request.open) {
        constexpr auto kNeeded = nfs::kAccessModify | nfs::kAccessExtend;
        const auto granted = co_await rights(ctx, inode);
        if (!granted) co_return granted.error();
        if ((*granted & kNeeded) != kNeeded) co_return core::Error(EACCES);
    }
    nfs::SetAttr attributes;
    attributes.mode = request.mode ? std::optional(*request.mode & 07777) : std::nullopt;
    attributes.size = request.size;
    attributes.atime = to_change(request.atime);
    attributes.mtime = to_change(request.mtime);
    if (request.uid || request.gid) {
        if (!inode->attrs.has_attr()) {
            const auto fetched = co_await fetch(ctx, inode);
            if (!fetched) co_return fetched.error();
        }
        const auto& attr = inode->attrs.attr();
        const auto owner =
            options_.presenter.accept({request.uid, request.gid}, attr.uid, attr.gid);
        if (!owner) co_return owner.error();
        attributes.uid = owner->uid;
        attributes.gid = owner->gid;
    }
    if (inode->is_regular() && (inode->file || attributes.size)) {
        const auto told = co_await cut(ctx, inode, ref, attributes);
        if (!told) co_return told.error();
        co_return attr_reply(*inode, *told);
    }
    const auto told = co_await change(std::move(ctx), inode, ref, attributes);
    if (!told) co_return told.error();
    co_return attr_reply(*inode, *told);
}

}  // namespace uidnfs::fs
