// SPDX-License-Identifier: Apache-2.0
// Payload without copies: a Slice is a read-only view that keeps the memory behind it alive,
// whether that is a pooled receive buffer or a slot of the arena. The bytes may still be in the
// kernel (core/piped.hpp): they come when somebody looks at them. Reference counts are not atomic:
// slices live and die on the reactor's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace uidnfs::core {

class PipedMemory;

/// Memory with a reference count that knows where to return to.
class SharedMemory {
public:
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    void retain() noexcept { ++references_; }
    void release() noexcept {
        if (--references_ == 0) recycle();
    }
    /// Somebody but one holder still looks at it.
    bool is_shared() const noexcept { return references_ > 1; }
    /// Not nullptr: a part of the bytes is in a pipe.
    const PipedMemory* piped() const noexcept { return piped_; }
    /// From now on all of them are here.
    void fetch() noexcept {
        if (piped_) bring();
    }

protected:
    SharedMemory() = default;
    ~SharedMemory() = default;

    PipedMemory* piped_ = nullptr;  ///< the object itself, as long as its pipe holds something

private:
    virtual void recycle() noexcept = 0;
    virtual void bring() noexcept {}

    std::uint32_t references_ = 0;
};

class Slice {
public:
    Slice() = default;
    Slice(SharedMemory& owner, const std::byte* data, std::size_t size) noexcept
        : owner_(&owner), data_(data), size_(size) {
        owner_->retain();
    }
    Slice(const Slice& other) noexcept
        : owner_(other.owner_), data_(other.data_), size_(other.size_) {
        if (owner_) owner_->retain();
    }
    Slice(Slice&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)),
          data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)) {}
    Slice& operator=(Slice other) noexcept {
        std::swap(owner_, other.owner_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Slice() {
        if (owner_) owner_->release();
    }

    const std::byte* data() const noexcept {
        if (owner_) owner_->fetch();
        return data_;
    }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    std::span<const std::byte> bytes() const noexcept { return {data(), size_}; }
    /// Where the bytes are or would come to; only looked at as far as they are here.
    std::span<const std::byte> place() const noexcept { return {data_, size_}; }
    /// Not nullptr: a part of them may be in a pipe.
    const PipedMemory* piped() const noexcept { return owner_ ? owner_->piped() : nullptr; }
    /// REQUIRES: offset + length <= size().
    Slice sub(std::size_t offset, std::size_t length) const noexcept {
        return owner_ ? Slice(*owner_, data_ + offset, length) : Slice();
    }

    /// `next` begins in the same memory where this slice ends.
    bool is_followed_by(const Slice& next) const noexcept {
        return owner_ == next.owner_ && data_ + size_ == next.data_;
    }
    /// REQUIRES: is_followed_by(next).
    Slice joined(const Slice& next) const noexcept {
        return Slice(*owner_, data_, size_ + next.size_);
    }

private:
    SharedMemory* owner_ = nullptr;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// Blocks of one size that are used again and again; what is idle beyond `keep` is freed.
class BufferPool {
public:
    class Block final : public SharedMemory {
    public:
        std::byte* data() noexcept { return data_; }
        std::size_t capacity() const noexcept { return pool_->block_bytes_; }
        /// Maps the first `bytes`, which are about to be written; the others are mapped when they
        /// are touched. REQUIRES: bytes <= capacity().
        void map(std::size_t bytes) noexcept;

    private:
        friend class BufferPool;
        Block(BufferPool& pool, std::byte* data) noexcept : pool_(&pool), data_(data) {}
        void recycle() noexcept override;

        BufferPool* pool_;
        std::byte* data_;
        std::size_t mapped_ = 0;  ///< bytes of whole pages
    };

    /// `keep`: free blocks that are not given back to the system.
    BufferPool(std::size_t block_bytes, std::size_t keep) noexcept
        : block_bytes_(block_bytes), keep_(keep) {}
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;
    /// REQUIRES: no slice of it is alive.
    ~BufferPool();

    /// A block with a reference count of zero: make a Slice of it, or retain() and release() it.
    Block& take();
    /// Gives all idle blocks back to the system; for a mount with nothing to do.
    void trim() noexcept;
    std::size_t idle() const noexcept { return free_.size(); }

private:
    void give_back(Block& block) noexcept;
    void destroy(Block& block) noexcept;

    std::size_t block_bytes_;
    std::size_t keep_;
    std::vector<Block*> free_;
};

}  // namespace uidnfs::core
