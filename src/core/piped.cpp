// SPDX-License-Identifier: Apache-2.0
#include "core/piped.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <utility>

namespace uidnfs::core {

std::optional<Pipe> Pipe::make() noexcept {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return std::nullopt;
    Pipe pipe{Fd(ends[0]), Fd(ends[1])};
    const auto bytes = ::fcntl(pipe.in.get(), F_SETPIPE_SZ, static_cast<int>(Pipes::kBytes));
    if (bytes < static_cast<int>(Pipes::kBytes)) return std::nullopt;
    return pipe;
}

bool Pipe::is_full() const noexcept {
    pollfd look{in.get(), POLLOUT, 0};
    return ::poll(&look, 1, 0) == 0;
}

std::optional<Pipe> Pipes::take() {
    if (wait_ > 0) {
        --wait_;
        return std::nullopt;
    }
    if (used_ == kMost) return std::nullopt;
    std::optional<Pipe> pipe;
    if (free_.empty()) {
        free_.reserve(kMost);
        pipe = Pipe::make();
        if (!pipe) {
            wait_ = kLongestPause;
            return std::nullopt;
        }
    } else {
        pipe = std::move(free_.back());
        free_.pop_back();
    }
    ++used_;
    return pipe;
}

void Pipes::give_back(Pipe pipe, std::size_t left) noexcept {
    --used_;
    if (left > 0) {
        if (!nowhere_) nowhere_.reset(::open("/dev/null", O_WRONLY | O_CLOEXEC));
        const auto gone = ::splice(pipe.out.get(), nullptr, nowhere_.get(), nullptr, left, 0);
        if (gone != static_cast<ssize_t>(left)) return;  // closed with all that is in it
    }
    free_.push_back(std::move(pipe));  // take() made room for all
}

void Pipes::does_not_fit() noexcept {
    wait_ = pause_;
    pause_ = std::min(pause_ * 4, kLongestPause);
}

void Pipes::trim() noexcept { free_.clear(); }

PipedMemory::PipedMemory(
    BufferPool::Block& block, const std::byte* from, std::size_t piped, Pipe pipe, Pipes& pipes
) noexcept
    : block_(block), from_(from), bytes_(piped), pipe_(std::move(pipe)), pipes_(pipes) {
    block_.retain();
    piped_ = this;
}

bool PipedMemory::can_pass(const std::byte* at, std::size_t size) const noexcept {
    return at <= from_ && at + size > from_ && at + size <= from_ + bytes_;
}

bool PipedMemory::pass(const Pipe& to, std::size_t size) const noexcept {
    const auto passed = ::tee(pipe_.out.get(), to.in.get(), size, SPLICE_F_NONBLOCK);
    const bool is_whole = passed == static_cast<ssize_t>(size);
    is_whole ? pipes_.fits() : pipes_.does_not_fit();
    return is_whole;
}

void PipedMemory::bring() noexcept {
    const auto offset = static_cast<std::size_t>(from_ - block_.data());
    auto* const to = block_.data() + offset;
    block_.map(offset + bytes_);
    read_pipe(pipe_, to, bytes_);
    piped_ = nullptr;
    pipes_.give_back(std::move(pipe_), 0);
}

void PipedMemory::recycle() noexcept {
    if (piped_) pipes_.give_back(std::move(pipe_), bytes_);
    block_.release();
    delete this;
}

void read_pipe(const Pipe& pipe, std::byte* to, std::size_t size) noexcept {
    while (size > 0) {
        const auto got = ::read(pipe.out.get(), to, size);
        if (got < 0 && errno == EINTR) continue;
        // What was put there is there. Going on with other bytes would be worse than a new worker.
        if (got <= 0) std::terminate();
        to += got;
        size -= static_cast<std::size_t>(got);
    }
}

}  // namespace uidnfs::core
