// SPDX-License-Identifier: Apache-2.0
// SlotPool: pieces of the arena into which /dev/fuse is read. The payload of a large WRITE stays
// where it arrived until the server has it on disk; a Slice of the slot keeps it. Reactor's thread
// only.
#pragma once

#include "core/arena.hpp"
#include "core/buffer.hpp"
#include "core/pages.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

namespace uidnfs::core {

class SlotPool;

/// One slot while somebody uses it.
class Slot final : public SharedMemory {
public:
    Slot(SlotPool& pool, std::uint32_t index) noexcept : pool_(&pool), index_(index) {}
    std::byte* data() noexcept;
    std::uint32_t index() const noexcept { return index_; }

private:
    void recycle() noexcept override;

    SlotPool* pool_;
    std::uint32_t index_;
};

class SlotPool {
public:
    static constexpr RegionSpec spec(
        std::uint32_t id, std::uint32_t bytes, std::uint64_t count
    ) noexcept {
        return {id, static_cast<std::uint32_t>(page_above(bytes)), count};
    }

    SlotPool(const Arena& arena, const Region& region);
    SlotPool(const SlotPool&) = delete;
    SlotPool& operator=(const SlotPool&) = delete;

    /// A slot with a reference count of zero, the one used last first (its pages are warm); nullptr
    /// when all are in use.
    Slot* take() noexcept;
    /// A slot that a dead worker used: taken out of the free ones. nullptr when it never existed.
    Slot* adopt(std::uint32_t index) noexcept;
    std::byte* at(std::uint32_t index) const noexcept {
        return region_.base + std::uint64_t{index} * region_.stride;
    }
    std::uint32_t bytes() const noexcept { return region_.stride; }
    std::uint64_t capacity() const noexcept { return region_.capacity; }
    std::uint64_t available() const noexcept {
        return free_.size() + (region_.capacity - *region_.high_water);
    }
    /// `callback` is told whenever a slot comes back to a pool that had none. It runs inside of
    /// that release, so it may only take note. Empty: nobody is told.
    void on_available(std::function<void()> callback) { available_ = std::move(callback); }
    /// Maps the first `bytes` of a slot, so that the kernel writes there without a page fault: one
    /// inside of a system call fails when the process is being killed. Linux 5.14 or later; before,
    /// nothing happens. Where any was missing, `ahead` bytes more are mapped. False: none was.
    bool map(Slot& slot, std::size_t bytes, std::size_t ahead = 0) noexcept;
    /// Gives the pages of free slots back to the system; for a mount with nothing to do.
    void trim() noexcept;

private:
    friend class Slot;

    const Arena* arena_;
    Region region_;
    std::deque<Slot> slots_;
    std::vector<std::uint32_t> free_;
    std::vector<std::uint8_t> touched_;
    std::vector<std::uint16_t> mapped_;  ///< pages
    std::vector<std::uint8_t> is_free_;  ///< whether it is in free_
    std::function<void()> available_;
};

}  // namespace uidnfs::core
