// SPDX-License-Identifier: Apache-2.0
// ListingBuffer: packs names into the form that READDIR and READDIRPLUS are answered in. Owned by
// the coroutine of one request; reactor's thread only.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "core/buffer.hpp"
#include "fs/operations.hpp"
#include "fuse/notifier.hpp"
#include "fuse/reply.hpp"

namespace uidnfs::fuse {

class ListingBuffer {
public:
    /// `size`: what the kernel asked for; more than a block of `blocks` holds is not used.
    /// `notifier`: entries of which pages are still to be dropped are given as mere names.
    ListingBuffer(
        std::shared_ptr<core::BufferPool> blocks,
        fs::Listing listing,
        std::size_t size,
        const Notifier* notifier = nullptr
    );
    ListingBuffer(const ListingBuffer&) = delete;
    ListingBuffer& operator=(const ListingBuffer&) = delete;

    /// fs::DirSink. A name that no directory can hold (empty, `/`, NUL, longer than the kernel
    /// takes) would make the kernel refuse the whole listing: it is left out, for the server sent
    /// it.
    bool add(const fs::DirItem& item);

    bool empty() const noexcept { return used_ == 0; }
    Listed listed() const noexcept { return {listing_, {data_, used_}}; }
    /// Lookups of names that were left out; call when the listing is done.
    void forget_left_out(fs::Operations& filesystem);

private:
    std::shared_ptr<core::BufferPool> blocks_;  // outlives the session when an operation does
    core::Slice keep_;
    char* data_;
    std::size_t size_;
    std::size_t used_ = 0;
    fs::Listing listing_;
    const Notifier* notifier_;
    std::size_t left_out_count_ = 0;
    std::vector<fs::InodeId> left_out_;
};

}  // namespace uidnfs::fuse
