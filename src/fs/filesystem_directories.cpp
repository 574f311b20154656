// SPDX-License-Identifier: Apache-2.0
// Directories: listings by cookie, with the attributes of the entries where the server sends them.
#include "fs/file_type.hpp"
#include "fs/filesystem.hpp"

#include <algorithm>
#include <cerrno>

namespace uidnfs::fs {
namespace {

/// A page may be this old even where attributes are not cached.
constexpr std::chrono::milliseconds kYoungPage{1000};
/// What came with an open is as old as that, as with files (read_ahead.cpp).
constexpr std::chrono::milliseconds kOpenHolds{500};
constexpr std::uint32_t kTryEach = 16;
/// nfsstat3 NFS3ERR_BAD_COOKIE, in Error::detail().
constexpr std::uint32_t kBadCookie = 10003;

bool is_bad_cookie(const core::Error& error) noexcept {
    return error.source() == core::ErrorSource::nfs && error.detail() == kBadCookie;
}

/// A page that leads nowhere would be asked for without end.
core::Result<void> show(
    DirStream& stream, std::uint64_t cookie, nfs::DirPage page, const Asked& asked
) {
    if (page.more == nfs::DirPage::More::yes) {
        if (page.entries.empty()) return core::Error(EIO);
        if (page.entries.back().cookie == cookie) return core::Error(ELOOP);
    }
    const auto way = stream.load(cookie, std::move(page), asked);
    if (way == DirStream::Way::round) return core::Error(ELOOP);
    return {};
}

bool is_dot(const std::string& name) noexcept { return name == "." || name == ".."; }

}  // namespace

core::Task<core::Result<OpenReply>> Filesystem::opendir(Caller caller, InodeId id) {
    const auto admitted = admit(caller, id, Purpose::look);
    if (!admitted) co_return admitted.error();
    const auto inode = admitted->inode;
    const auto ctx = admitted->context;
    auto first = page_at_open(ctx, inode);
    auto asking = id == kRootId ? root_rights(ctx, inode) : open_rights(ctx, inode);
    const auto granted = co_await asking;
    if (!granted && is_gone(*inode, granted.error())) {
        // Somebody's working directory. It is empty, and the kernel knows that without asking.
        co_return add_open(ctx, inode, OpenKind::directory, 0, wall_now());
    }
    if (!granted) co_return granted.error();
    if (!(*granted & nfs::kAccessRead)) co_return core::Error(EACCES);
    const auto opened = add_open(ctx, inode, OpenKind::directory, 0, wall_now());
    if (opened) opens_.find(opened->open)->first_page = std::move(first);
    co_return opened;
}

std::shared_ptr<FirstPage> Filesystem::page_at_open(
    const nfs::CallContext& context, const InodeRef& directory
) {
    if (options_.readdirplus == Readdirplus::off || readdirplus_ == Support::missing)
        return nullptr;
    if (options_.close_to_open == CloseToOpen::off) return nullptr;  // the open asks nothing
    if (options_.timers.dir_max == std::chrono::milliseconds(0)) return nullptr;
    // `df` opens the root, and must not leave a call behind that waits for a silent server.
    if (directory->id == kRootId || directory->attrs.is_changing()) return nullptr;
    if (page_credit_ == 0 && page_opens_++ % kTryEach != 0) return nullptr;
    auto first = std::make_shared<FirstPage>(deps_.reactor);
    first->asked = asked_now();
    core::spawn(fetch_first(nfs::CallContext{context.credential}, directory, first));
    return first;
}

core::Task<void> Filesystem::fetch_first(
    nfs::CallContext context, InodeRef directory, std::shared_ptr<FirstPage> first
) {
    const auto known = names_of(directory);
    const auto load = known ? known->begin_load() : 0;
    const PageRequest request{0, load, first->asked};
    auto page = co_await deps_.client.readdirplus(context, directory->handle, {}, kPageBytes);
    if (page) {
        if (page->dir_attr) learn(directory, *page->dir_attr, request.asked.token);
        if (known) take_page(directory, *known, request, *page);
    } else if (known) {
        known->end_load();
    }
    first->page = std::move(page);
    first->arrived.notify_all();
}

core::Task<std::optional<core::Result<nfs::DirPage>>> Filesystem::take_first(OpenFileRef file) {
    const auto first = std::exchange(file->first_page, nullptr);
    page_credit_ = std::min(page_credit_ + 1, kMostPageCredit);
    while (!first->page) co_await first->arrived.wait();
    // Our own changes since then are shown; so is what is done by others a while later.
    if (file->inode->changed_at > first->asked.changes) co_return std::nullopt;
    if (now() - first->asked.time > kOpenHolds) co_return std::nullopt;
    if (!*first->page && first->page->error().code() == ENOTSUP) co_return std::nullopt;
    co_return std::move(first->page);
}

core::Task<core::Result<nfs::DirPage>> Filesystem::fetch_page(
    OpenFileRef file, std::uint64_t cookie, Listing listing
) {
    const auto& directory = file->inode->handle;
    const auto from = file->directory->cursor(cookie);
    const bool wants_plus = listing == Listing::plus && options_.readdirplus == Readdirplus::on;
    if (wants_plus && readdirplus_ == Support::assumed) {
        auto page = co_await deps_.client.readdirplus(file->context, directory, from, kPageBytes);
        if (page || page.error().code() != ENOTSUP) co_return page;
        readdirplus_ = Support::missing;
    }
    co_return co_await deps_.client.readdir(file->context, directory, from, kPageBytes);
}

core::Task<core::Result<void>> Filesystem::load_page(
    OpenFileRef file, std::uint64_t cookie, Listing listing
) {
    auto& stream = *file->directory;
    if (cookie == 0 && file->first_page && listing == Listing::plus) {
        const auto at_open = file->first_page->asked;
        auto taking = take_first(file);
        auto first = co_await taking;
        if (first && !*first) {
            on_error(*file->inode, first->error());
            co_return first->error();
        }
        if (first) co_return show(stream, 0, std::move(**first), at_open);
    }
    const auto known = names_of(file->inode);
    const auto load = known ? known->begin_load() : 0;
    auto asked = asked_now();
    auto page = co_await fetch_page(file, cookie, listing);
    if (!page && is_bad_cookie(page.error()) && cookie != 0 && stream.can_begin_again()) {
        stream.forgotten(cookie);
        cookie = 0;
        asked = asked_now();
        page = co_await fetch_page(file, cookie, listing);
    }
    if (!page) {
        if (known) known->end_load();
        on_error(*file->inode, page.error());
        co_return page.error();
    }
    if (page->dir_attr) learn(file->inode, *page->dir_attr, asked.token);
    if (known) take_page(file->inode, *known, {cookie, load, asked}, *page);
    co_return show(stream, cookie, std::move(*page), asked);
}

DirItem Filesystem::make_item(
    const InodeRef& directory, const nfs::DirEntry& found, Listing listing, const Asked& asked
) {
    DirItem item;
    item.name = found.name;
    item.fileid = number_in(*directory, found.fileid);
    item.type = found.attr ? type_bits(found.attr->type) : 0;
    if (listing == Listing::names || !found.handle || !found.attr || is_dot(found.name)) {
        return item;
    }
    // Attributes of an application that lists slowly grow old: it gets names, and the kernel asks.
    if (now() - asked.time > std::max(options_.timers.file_min, kYoungPage)) return item;
    // One that we changed and dropped since the page was asked for may be it.
    if (inodes_.dropped_changed_at() > asked.changes && !inodes_.find(*found.handle)) return item;
    const auto inode = inodes_.get(*found.handle, *found.attr);
    if (!inode) return item;
    // A name that was given away or taken since would lead to the file that it had.
    if (directory->changed_at > asked.changes && inodes_.child(*directory, found.name) != inode) {
        inodes_.drop_if_unused(inode);
        return item;
    }
    learn(inode, *found.attr, asked.token);
    if (inode->attrs.is_doubted()) return item;
    const auto reply = attr_reply(*inode);
    item.entry = {inode->id, reply.stat, reply.attr_valid, entry_valid(*directory)};
    return item;
}

void Filesystem::count_item(
    const InodeRef& directory, const nfs::DirEntry& found, const DirItem& item
) {
    if (item.entry.id == 0) return;
    const auto inode = inodes_.find(item.entry.id);
    inodes_.add_name(directory, found.name, inode);
    inodes_.add_lookup(*inode);
}

core::Task<core::Result<void>> Filesystem::readdir(
    OpenId open, std::uint64_t offset, Listing listing, DirSink sink
) {
    const auto file = opens_.find(open);
    if (!file || !file->directory) co_return core::Error(EBADF);
    if (is_denied()) co_return core::Error(EACCES);
    auto& stream = *file->directory;
    if (offset == 0) stream.restart();
    const auto place = stream.to_cookie(offset);
    if (!place) co_return core::Error(EINVAL);
    auto cookie = *place;
    stream.taken_up_to(cookie);
    std::size_t delivered = 0;
    for (;;) {
        switch (stream.seek(cookie)) {
            case DirStream::Position::end: co_return core::Result<void>();
            case DirStream::Position::elsewhere: {
                // What is there goes to the application at once; it will ask for the rest.
                if (delivered > 0) co_return core::Result<void>();
                const auto loaded = co_await load_page(file, cookie, listing);
                if (!loaded) co_return loaded.error();
                continue;
            }
            case DirStream::Position::here: break;
        }
        const auto& found = stream.current();
        if (stream.was_delivered()) {
            cookie = found.cookie;
            stream.pass();
            continue;
        }
        auto item = make_item(file->inode, found, listing, stream.asked());
        item.next_offset = stream.to_offset(found.cookie);
        if (!sink(item)) {
            if (item.entry.id != 0) inodes_.drop_if_unused(inodes_.find(item.entry.id));
            co_return core::Result<void>();
        }
        count_item(file->inode, found, item);
        cookie = found.cookie;
        stream.advance();
        ++delivered;
    }
}

core::Task<core::Result<void>> Filesystem::fsyncdir(OpenId open) {
    // Every change of a directory is on the server's disk when its reply comes (RFC 1813 4.8).
    if (!opens_.find(open)) co_return core::Error(EBADF);
    if (is_denied()) co_return core::Error(EACCES);
    co_return core::Result<void>();
}

void Filesystem::releasedir(OpenId open) {
    const auto file = opens_.find(open);
    if (!file) return;
    if (file->first_page && page_credit_ > 0) --page_credit_;
    opens_.remove(file);
    inodes_.drop_if_unused(file->inode);
}

}  // namespace uidnfs::fs
