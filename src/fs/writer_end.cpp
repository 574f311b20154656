// SPDX-License-Identifier: Apache-2.0
// The end of a Writer: everything is brought to the disk until a deadline, or given up by name.
#include "fs/writer.hpp"

#include <chrono>
#include <utility>

namespace uidnfs::fs {

core::Task<void> Writer::drain_one(InodeRef inode) {
    if (!draining_.insert(inode).second) co_return;
    while (!inode->file->extents.empty()) {
        co_await flush(inode, Reach::disk, nfs::Stability::unstable);
    }
    draining_.erase(inode);
}

core::Task<std::vector<LostRange>> Writer::drain(core::SteadyTime deadline) {
    boost::asio::steady_timer alarm(deps_.reactor.io(), deadline);
    alarm.async_wait([this](const boost::system::error_code& error) {
        if (!error) activity_.notify_all();
    });
    while (!active_.empty() && std::chrono::steady_clock::now() < deadline) {
        for (const auto& inode : std::vector<InodeRef>(active_.begin(), active_.end())) {
            core::spawn(drain_one(inode));
        }
        if (!active_.empty()) co_await activity_.wait();
    }
    co_return held();
}

std::vector<LostRange> Writer::held() const {
    std::vector<LostRange> lost;
    for (const auto& inode : active_) {
        const auto fileid = deps_.inodes.fileid_of(*inode);
        const auto path = path_of(*inode);
        inode->file->extents.for_each([&](std::uint64_t offset, std::uint64_t length) {
            if (!lost.empty() && lost.back().fileid == fileid &&
                lost.back().offset + lost.back().length == offset) {
                lost.back().length += length;
            } else {
                lost.push_back({fileid, path, offset, length});
            }
        });
    }
    return lost;
}

core::Task<std::vector<LostRange>> Writer::give_up(core::Error why) {
    refusal_ = why;
    auto lost = held();
    const std::vector<InodeRef> inodes(active_.begin(), active_.end());
    for (const auto& inode : inodes) {
        ++errors_;
        inode->write_error.set(why.code());
        deps_.inodes.record_error(*inode);  // before the bytes go
    }
    for (const auto& inode : inodes) {
        auto holding = hold(inode);
        co_await holding;
        auto& file = *inode->file;
        while (file.commit == FileState::Commit::under_way) co_await file.progress.wait();
        forget(inode);
        deps_.lost(inode, 0, 0);
        resume(inode);
    }
    co_return lost;
}

}  // namespace uidnfs::fs
