// SPDX-License-Identifier: Apache-2.0
// A mount whose identity may do nothing any more: nothing is sent, nothing is answered from what is
// known, and it all comes back when access is given again.
#include "fs/filesystem.hpp"

#include "core/log.hpp"

#include <cerrno>
#include <utility>

namespace uidnfs::fs {
namespace {

/// The log names more.
constexpr std::size_t kMaxRefused = 1000;

}  // namespace

core::Task<std::vector<LostRange>> Filesystem::deny() {
    if (std::exchange(access_, Access::denied) == Access::denied) {
        co_return std::vector<LostRange>();
    }
    const core::Error why(EACCES);
    // Whatever waits for the server ends with this; what comes in from now on is not let in.
    deps_.client.suspend(why);
    auto giving_up = writer_.give_up(why);
    auto lost = co_await giving_up;
    // Access may be back by now; what was known is asked anew all the same.
    forget_known();
    co_return lost;
}

void Filesystem::allow() {
    if (std::exchange(access_, Access::given) == Access::given) return;
    writer_.accept();
    root_error_.reset();
    statfs_error_.reset();
    root_rights_.reset();
    deps_.client.resume();
}

/// Also what the kernel has: pages, attributes, listings, names.
void Filesystem::forget_known() {
    inodes_.for_each([this](const InodeRef& inode) {
        inode->known.reset();
        inode->pages.reset();
        inode->attrs.expire();
        inode->access.known = decltype(inode->access)::Known::no;
        inode->in_kernel = InKernel::no;
        ++inode->content;
        if (inode->id != kRootId && inode->lookups == 0 && inode->opens == 0) return;
        deps_.invalidator.attributes(inode->id);
    });
    deps_.invalidator.all_names();
    opens_.for_each([](const OpenFileRef& file) {
        if (file->ahead) file->ahead->drop();
        file->first_page.reset();
    });
    // Pages of open files first: nobody can open the others now, nor finds their old pages when
    // that is possible again.
    for (const bool is_open : {true, false}) {
        inodes_.for_each([&](const InodeRef& inode) {
            if ((inode->opens > 0) != is_open || (!is_open && inode->lookups == 0)) return;
            deps_.invalidator.inode(inode->id, 0, 0);
        });
    }
}

/// Of a shared mapping, when the kernel drops its pages. The application does not wait for these.
void Filesystem::note_refused(const Inode& inode, std::uint64_t offset, std::uint64_t length) {
    const auto fileid = inodes_.fileid_of(inode);
    const auto path = inodes_.path_of(inode);
    core::log::warning(
        "not written, access was taken away: {} (file id {}), {} bytes at {}",
        core::log::printable(path),
        fileid,
        length,
        offset
    );
    if (refused_pages_.size() < kMaxRefused) {
        refused_pages_.push_back({fileid, path, offset, length});
    }
}

}  // namespace uidnfs::fs
