// SPDX-License-Identifier: Apache-2.0
#include "fuse/piped_answers.hpp"

#include <fcntl.h>
#include <limits.h>

#include <array>
#include <cerrno>

namespace uidnfs::fuse {

bool PipedAnswers::fill(
    const iovec& head, std::span<const std::byte> begun, const core::Slice& data
) const noexcept {
    const std::array<iovec, 2> front{head, {const_cast<std::byte*>(begun.data()), begun.size()}};
    const auto size = head.iov_len + begun.size();
    const auto put = ::writev(pipe_->in.get(), front.data(), static_cast<int>(front.size()));
    return put == static_cast<ssize_t>(size) &&
           data.piped()->pass(*pipe_, data.size() - begun.size());
}

std::optional<ssize_t> PipedAnswers::write(int device, const iovec& head, const core::Slice& data) {
    const auto* const memory = data.piped();
    if (!memory || !memory->can_pass(data.place().data(), data.size())) return std::nullopt;
    const auto begun = core::beginning(data);
    // No more than a page of it, so that it takes one place in the pipe and is written whole.
    if (head.iov_len + begun.size() > PIPE_BUF) return std::nullopt;
    if (!pipe_) pipe_ = core::Pipe::make();
    if (!pipe_) return std::nullopt;
    if (!fill(head, begun, data)) {
        pipe_.reset();
        return std::nullopt;
    }
    const auto size = head.iov_len + data.size();
    const auto written = ::splice(pipe_->out.get(), nullptr, device, nullptr, size, 0);
    if (written == static_cast<ssize_t>(size)) {
        bytes_ += data.size();
        return written;
    }
    const auto error = errno;
    pipe_.reset();  // nobody knows what is left in it
    // Gone with its process or its mount. For anything else memory is worth a try.
    if (error != ENOENT) return std::nullopt;
    errno = error;
    return -1;
}

}  // namespace uidnfs::fuse
