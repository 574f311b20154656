// SPDX-License-Identifier: Apache-2.0
// Rereads: the pages of a file that the kernel may have read again in the middle of a write(2). Owned
// by the Inode; reactor's thread only. Pure.
//
// The kernel copies what is written into pages that it has, lets go of them, and only then sends the
// WRITE (fs/fuse/file.c, fuse_fill_write_pages). A page that is dropped between the two takes the
// new bytes with it, and whoever reads it at that moment brings the old ones back, which nothing
// replaces: this client would show them for as long as it likes, and a store into a mapping of such a
// page would send them to the server.
#pragma once

#include "core/clock.hpp"
#include "fs/page.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace uidnfs::fs {

class Rereads {
public:
    /// How long a drop takes, and how long a write(2) copies, at most: both stop where their thread
    /// gets no processor.
    static constexpr std::chrono::milliseconds kMoment{1000};

    struct Range {
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };

    /// The kernel drops pages of the file, now or in a moment.
    void note_drop(core::SteadyTime now) noexcept {
        if (is_over(now)) begin_ = end_ = 0;
        until_ = now + kMoment;
    }
    /// It reads them.
    void note_read(core::SteadyTime now, std::uint64_t offset, std::uint64_t size) noexcept {
        if (now >= until_) return;
        const bool is_first = begin_ == end_;
        begin_ = is_first ? offset : std::min(begin_, offset);
        end_ = is_first ? offset + size : std::max(end_, offset + size);
    }
    /// What the kernel may have read before it sent the bytes that it has written there.
    std::optional<Range> in_doubt(
        core::SteadyTime now, std::uint64_t offset, std::uint64_t size
    ) const noexcept {
        const auto begin = std::max(page_of(begin_), page_of(offset));
        const auto end = std::min(end_, page_of(offset + size - 1) + kPage);
        if (is_over(now) || begin >= end) return std::nullopt;
        return Range{begin, end - begin};
    }

private:
    bool is_over(core::SteadyTime now) const noexcept { return now >= until_ + kMoment; }

    core::SteadyTime until_{};
    std::uint64_t begin_ = 0;
    std::uint64_t end_ = 0;
};

}  // namespace uidnfs::fs
