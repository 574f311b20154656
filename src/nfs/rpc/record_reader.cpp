// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/record_reader.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace uidnfs::nfs::rpc {
namespace {

constexpr std::size_t kMarkBytes = 4;
constexpr std::uint32_t kLastFragment = 0x8000'0000;
/// Enough for the mark and the head of a READ reply: what is received before its place is known,
/// and then copied. A multiple of a cache line behind the mark, like the 128 bytes of the usual
/// head, so that both the payload and what the kernel copies begin at one.
constexpr std::size_t kHeaderWindow = kMarkBytes + 256;
constexpr std::size_t kCacheLine = 64;
/// The usual head of a READ reply. It must be here before the rest may go to a pipe.
constexpr std::size_t kLeastHead = 128;
/// A window with less room is replaced.
constexpr std::size_t kMinimumRoom = 4096;

std::uint32_t load(const std::byte* from) noexcept {
    std::uint32_t value;
    std::memcpy(&value, from, sizeof value);
    return __builtin_bswap32(value);
}

}  // namespace

core::BufferPool::Block& ReceiveBlocks::record(std::size_t bytes) {
    if (bytes <= kWindowBytes) return windows_.take();
    return bytes <= kMediumBytes ? medium_.take() : large_.take();
}

void ReceiveBlocks::trim() noexcept {
    windows_.trim();
    medium_.trim();
    large_.trim();
    pipes_.trim();
}

void RecordReader::reset() noexcept {
    if (pipe_) blocks_->pipes().give_back(std::move(*pipe_), piped_bytes_);
    pipe_.reset();
    piped_bytes_ = 0;
    if (window_) window_->release();
    if (record_) record_->release();
    window_ = record_ = nullptr;
    parsed_ = filled_ = record_bytes_ = missing_ = 0;
    wanted_ = kMarkBytes;
    fault_ = Fault::none;
    too_long_for_.reset();
}

void RecordReader::make_room() {
    if (window_ && available() == 0 && !window_->is_shared()) parsed_ = filled_ = 0;
    const auto needed = std::max(wanted_, kMinimumRoom);
    if (window_ && parsed_ + needed <= window_->capacity()) return;

    auto& fresh = blocks_->window();
    fresh.retain();
    if (window_) {
        std::memcpy(fresh.data(), window_->data() + parsed_, available());
        window_->release();
    }
    window_ = &fresh;
    filled_ -= parsed_;
    parsed_ = 0;
}

std::span<const iovec> RecordReader::space(Expect expect) {
    make_room();
    auto room = window_->capacity() - filled_;
    if (expect == Expect::bulk) {
        const auto incomplete = wanted_ > available() ? wanted_ - available() : 0;
        room = std::min(room, incomplete + kHeaderWindow);
    }
    space_[1] = {window_->data() + filled_, room};
    if (missing_ == 0) return std::span(space_).subspan(1);
    record_->map(record_offset_ + record_bytes_ + missing_);
    space_[0] = {place() + record_bytes_, missing_};
    return space_;
}

void RecordReader::received(std::size_t bytes) noexcept {
    const auto to_record = std::min(bytes, missing_);
    record_bytes_ += to_record;
    missing_ -= to_record;
    filled_ += bytes - to_record;
}

void RecordReader::piped(std::size_t bytes) noexcept {
    record_bytes_ += bytes;
    piped_bytes_ += bytes;
    missing_ -= bytes;
}

void RecordReader::leave_pipe() noexcept {
    auto& pipes = blocks_->pipes();
    record_->map(record_offset_ + record_bytes_);
    core::read_pipe(*pipe_, place() + record_bytes_ - piped_bytes_, piped_bytes_);
    pipes.give_back(std::move(*pipe_), 0);
    pipes.does_not_fit();
    pipe_.reset();
    piped_bytes_ = 0;
}

core::SharedMemory& RecordReader::take_owner() {
    if (!pipe_) return *record_;
    auto& pipes = blocks_->pipes();
    const auto* const from = place() + record_bytes_ - piped_bytes_;
    auto* const memory = new core::PipedMemory(
        *record_, from, std::exchange(piped_bytes_, 0), std::move(*pipe_), pipes
    );
    pipe_.reset();
    return *memory;
}

std::optional<core::Slice> RecordReader::finish_record() {
    core::Slice record(take_owner(), place(), record_bytes_);
    record_->release();
    record_ = nullptr;
    record_bytes_ = 0;
    return record;
}

std::optional<core::Slice> RecordReader::next() {
    while (fault_ == Fault::none) {
        if (missing_ > 0) {
            wanted_ = kMarkBytes;
            return std::nullopt;
        }
        if (record_ && fragment_ == Fragment::last) return finish_record();
        wanted_ = kMarkBytes;
        if (available() < kMarkBytes) return std::nullopt;

        const auto* at = window_->data() + parsed_;
        const auto mark = load(at);
        const std::size_t bytes = mark & ~kLastFragment;
        const auto fragment = mark & kLastFragment ? Fragment::last : Fragment::more;
        if (record_bytes_ + bytes > kMaxRecordBytes) {
            fault_ = Fault::record_too_long;
            if (record_bytes_ >= sizeof(std::uint32_t)) {
                too_long_for_ = load(place());
            } else if (!record_ && available() >= kMarkBytes + sizeof(std::uint32_t)) {
                too_long_for_ = load(at + kMarkBytes);
            }
            return std::nullopt;
        }
        if (bytes == 0 && fragment == Fragment::more) {
            fault_ = Fault::empty_fragment;
            return std::nullopt;
        }
        const bool is_whole = !record_ && fragment == Fragment::last;
        if (is_whole && kMarkBytes + bytes <= available()) {
            parsed_ += kMarkBytes + bytes;
            return core::Slice(*window_, at + kMarkBytes, bytes);
        }
        if (is_whole && bytes < kBulkBytes) {
            wanted_ = kMarkBytes + bytes;
            return std::nullopt;
        }

        // It gets its own place: what is already here is copied, the rest is received there.
        parsed_ += kMarkBytes;
        const auto here = std::min(bytes, available());
        if (!record_) {
            record_ = &blocks_->record((is_whole ? bytes : kMaxRecordBytes) + kCacheLine);
            record_->retain();
            // What the kernel copies begins at a cache line.
            record_offset_ = (kCacheLine - here % kCacheLine) % kCacheLine;
        }
        record_->map(record_offset_ + record_bytes_ + here);
        std::memcpy(place() + record_bytes_, window_->data() + parsed_, here);
        parsed_ += here;
        record_bytes_ += here;
        missing_ = bytes - here;
        fragment_ = fragment;
        if (is_whole && bytes >= kPipedBytes && here >= kLeastHead && missing_ > 0) {
            pipe_ = blocks_->pipes().take();
        }
    }
    return std::nullopt;
}

}  // namespace uidnfs::nfs::rpc
