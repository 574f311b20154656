// SPDX-License-Identifier: Apache-2.0
// PipedAnswers: answers to READ whose data is in a pipe of the transport (core/piped.hpp) go from
// there to /dev/fuse: the kernel copies them once, from the pages of the socket to those of the
// file. A part of the Session; reactor's thread.
#pragma once

#include "core/piped.hpp"

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <optional>
#include <span>

namespace uidnfs::fuse {

class PipedAnswers {
public:
    /// Writes `head` and `data` as one answer, as writev(2) does: the number of bytes, or -1 and
    /// errno. Nothing where they have to be written from memory; nothing was written then.
    std::optional<ssize_t> write(int device, const iovec& head, const core::Slice& data);
    void trim() noexcept { pipe_.reset(); }
    /// Of data, so far.
    std::uint64_t bytes() const noexcept { return bytes_; }

private:
    /// The answer into the empty pipe; `begun`: what of the data is in memory.
    bool fill(const iovec& head, std::span<const std::byte> begun, const core::Slice& data)
        const noexcept;

    std::optional<core::Pipe> pipe_;  // empty between two answers
    std::uint64_t bytes_ = 0;
};

}  // namespace uidnfs::fuse
