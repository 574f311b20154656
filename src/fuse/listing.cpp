// SPDX-License-Identifier: Apache-2.0
#include "fuse/listing.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "core/log.hpp"
#include "fuse/libfuse.hpp"

namespace uidnfs::fuse {
namespace {

constexpr std::size_t kMaxName = 1024;  // FUSE_NAME_MAX, fs/fuse/fuse_i.h
constexpr std::size_t kLoggedName = 64;
// Most listings fill less than the kernel has room for.
constexpr std::size_t kMappedAtOnce = 32768;

bool is_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= kMaxName && name.find('/') == name.npos &&
           name.find('\0') == name.npos;
}

}  // namespace

ListingBuffer::ListingBuffer(
    std::shared_ptr<core::BufferPool> blocks,
    fs::Listing listing,
    std::size_t size,
    const Notifier* notifier
)
    : blocks_(std::move(blocks)), listing_(listing), notifier_(notifier) {
    auto& block = blocks_->take();
    keep_ = core::Slice(block, block.data(), 0);
    data_ = reinterpret_cast<char*>(block.data());
    size_ = std::min(size, block.capacity());
    block.map(std::min(size_, kMappedAtOnce));
}

bool ListingBuffer::add(const fs::DirItem& item) {
    if (!is_name(item.name)) {
        if (left_out_count_++ == 0) {
            core::log::warning(
                "the server sent a name that no directory can hold, it is left out: {}",
                item.name.substr(0, kLoggedName)
            );
        }
        if (item.entry.id != 0) left_out_.push_back(item.entry.id);
        return true;
    }
    std::array<char, kMaxName + 1> name;  // libfuse wants it terminated
    std::memcpy(name.data(), item.name.data(), item.name.size());
    name[item.name.size()] = '\0';

    auto* place = data_ + used_;
    const auto room = size_ - used_;
    const auto offset = static_cast<off_t>(item.next_offset);
    struct stat brief {};
    brief.st_ino = item.fileid;
    brief.st_mode = item.type;
    std::size_t needed = 0;
    const bool is_mere_name =
        item.entry.id != 0 && notifier_ && notifier_->is_pending(item.entry.id);
    if (listing_ == fs::Listing::names) {
        // These two do not use the request, which is gone when its caller was released.
        needed = fuse_add_direntry(nullptr, place, room, name.data(), &brief, offset);
    } else {
        fuse_entry_param param{};
        param.attr = brief;
        if (item.entry.id != 0 && !is_mere_name) {
            param.ino = item.entry.id;
            param.attr = item.entry.stat;
            param.attr_timeout = std::chrono::duration<double>(item.entry.attr_valid).count();
            param.entry_timeout = std::chrono::duration<double>(item.entry.entry_valid).count();
        }
        needed = fuse_add_direntry_plus(nullptr, place, room, name.data(), &param, offset);
    }
    if (needed > room) return false;
    used_ += needed;
    if (is_mere_name && listing_ == fs::Listing::plus) left_out_.push_back(item.entry.id);
    return true;
}

void ListingBuffer::forget_left_out(fs::Operations& filesystem) {
    for (const auto id : left_out_) filesystem.forget(id, 1);
    left_out_.clear();
}

}  // namespace uidnfs::fuse
