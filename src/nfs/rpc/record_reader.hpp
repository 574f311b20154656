// SPDX-License-Identifier: Apache-2.0
// RecordReader: cuts the byte stream of a connection into records (RFC 5531 section 11) and decides
// where the next bytes go, so that no payload is copied: small records are cut out of a window that
// one receive fills with many of them; a large one gets a block of its own, and the kernel writes
// its bytes there; the payload of a very large one goes to a pipe, by reference, where whoever
// passes it on need not look at it. Decisions only, no socket. Owned by one Connection.
#pragma once

#include "core/buffer.hpp"
#include "core/piped.hpp"

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace uidnfs::nfs::rpc {

/// The largest record that is accepted: a READ of 1 MiB with its attributes.
inline constexpr std::size_t kMaxRecordBytes = (1u << 20) + 8192;
/// Replies from this size on are received to a place of their own.
inline constexpr std::size_t kBulkBytes = 16384;
/// Records from this size on may go to a pipe, whose system calls cost less than the copies that
/// they save.
inline constexpr std::size_t kPipedBytes = 131072;

/// Blocks for received bytes, shared by the connections of a transport.
class ReceiveBlocks {
public:
    core::BufferPool::Block& window() { return windows_.take(); }
    /// REQUIRES: bytes <= kLargestBlock.
    core::BufferPool::Block& record(std::size_t bytes);
    core::Pipes& pipes() noexcept { return pipes_; }
    void trim() noexcept;

    static constexpr std::size_t kWindowBytes = 65536;
    static constexpr std::size_t kLargestBlock = kMaxRecordBytes + 4096;

private:
    static constexpr std::size_t kMediumBytes = 262144 + 8192;

    core::BufferPool windows_{kWindowBytes, 16};
    core::BufferPool medium_{kMediumBytes, 16};
    core::BufferPool large_{kLargestBlock, 16};
    core::Pipes pipes_;
};

class RecordReader {
public:
    /// What the calls in flight may bring.
    enum class Expect : std::uint8_t { small, bulk };
    /// Why the stream cannot be read on.
    enum class Fault : std::uint8_t { none, record_too_long, empty_fragment };

    explicit RecordReader(ReceiveBlocks& blocks) noexcept : blocks_(&blocks) {}
    RecordReader(const RecordReader&) = delete;
    RecordReader& operator=(const RecordReader&) = delete;
    ~RecordReader() { reset(); }

    /// Where the next bytes go, in this order; valid until the next call of any method.
    std::span<const iovec> space(Expect expect);
    /// So many bytes were put there.
    void received(std::size_t bytes) noexcept;
    /// The pipe that the next missing() bytes go to instead; nullptr: none.
    const core::Pipe* pipe() const noexcept { return pipe_ ? &*pipe_ : nullptr; }
    std::size_t missing() const noexcept { return missing_; }
    void piped(std::size_t bytes) noexcept;
    /// The pipe takes no more: the rest of the record is received as others are.
    /// REQUIRES: pipe().
    void leave_pipe() noexcept;
    /// The next whole record; nothing when more bytes are needed, or after a fault.
    std::optional<core::Slice> next();

    Fault fault() const noexcept { return fault_; }
    /// Which call a record that is too long answers, as far as it came.
    std::optional<std::uint32_t> too_long_for() const noexcept { return too_long_for_; }
    bool is_between_records() const noexcept { return !record_ && parsed_ == filled_; }
    /// Forgets the stream; for a new connection.
    void reset() noexcept;

private:
    std::size_t available() const noexcept { return filled_ - parsed_; }
    std::byte* place() const noexcept { return record_->data() + record_offset_; }
    void make_room();
    core::SharedMemory& take_owner();
    std::optional<core::Slice> finish_record();

    ReceiveBlocks* blocks_;
    std::array<iovec, 2> space_{};
    Fault fault_ = Fault::none;
    std::optional<std::uint32_t> too_long_for_;

    // INVARIANT: parsed_ <= filled_ <= capacity of the window; without a window both are 0.
    core::BufferPool::Block* window_ = nullptr;
    std::size_t parsed_ = 0;
    std::size_t filled_ = 0;
    std::size_t wanted_ = 4;  // bytes from parsed_ on that next() needs to get any further

    // A record with a place of its own. INVARIANT: while missing_ > 0 the window holds no bytes.
    core::BufferPool::Block* record_ = nullptr;
    std::size_t record_offset_ = 0;
    std::size_t record_bytes_ = 0;
    std::size_t missing_ = 0;
    std::optional<core::Pipe> pipe_;
    std::size_t piped_bytes_ = 0;  // the last ones of record_bytes_
    enum class Fragment : std::uint8_t { last, more } fragment_ = Fragment::last;
};

}  // namespace uidnfs::nfs::rpc
