// SPDX-License-Identifier: Apache-2.0
#include "core/buffer.hpp"

#include "core/pages.hpp"

#include <sys/mman.h>

#include <new>

namespace uidnfs::core {

BufferPool::~BufferPool() { trim(); }

BufferPool::Block& BufferPool::take() {
    if (!free_.empty()) {
        auto* block = free_.back();
        free_.pop_back();
        return *block;
    }
    // Mapped, not allocated: a freed block goes back to the system whole, and stays out of the
    // heap.
    void* memory =
        ::mmap(nullptr, block_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return *new Block(*this, static_cast<std::byte*>(memory));
}

void BufferPool::Block::map(std::size_t bytes) noexcept {
    if (bytes <= mapped_) return;
    map_pages(data_ + mapped_, bytes - mapped_);
    mapped_ = page_above(bytes);
}

void BufferPool::Block::recycle() noexcept { pool_->give_back(*this); }

void BufferPool::give_back(Block& block) noexcept {
    if (free_.size() < keep_) {
        free_.push_back(&block);
    } else {
        destroy(block);
    }
}

void BufferPool::destroy(Block& block) noexcept {
    ::munmap(block.data_, block_bytes_);
    delete &block;
}

void BufferPool::trim() noexcept {
    for (auto* block : free_) destroy(*block);
    free_.clear();
    free_.shrink_to_fit();
}

}  // namespace uidnfs::core
