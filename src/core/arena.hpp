// SPDX-License-Identifier: Apache-2.0
// Arena: a fixed-size sparse shared mapping (memfd, sealed against shrinking) that outlives the
// worker. The keeper holds the descriptor, the worker maps it. It is divided into regions of equal
// records; records are plain data that refer to each other by index, never by pointer, so the next
// worker can rebuild its heap indexes from them. Owned by the worker's main; used on the reactor's
// thread only.
#pragma once

#include "core/error.hpp"
#include "core/fd.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace uidnfs::core {

/// One region: `capacity` records of `stride` bytes. Ids are chosen by the user of the arena.
struct RegionSpec {
    std::uint32_t id;
    std::uint32_t stride;    ///< bytes, a multiple of 8
    std::uint64_t capacity;  ///< records
};

/// Where a region lies in the mapping.
struct Region {
    std::byte* base = nullptr;
    std::uint64_t offset = 0;  ///< of `base` in the memfd
    std::uint32_t stride = 0;
    std::uint64_t capacity = 0;
    std::uint64_t* high_water = nullptr;  ///< records at and above this were never used
};

class Arena {
public:
    static constexpr std::uint32_t kVersion = 1;
    static constexpr std::size_t kMaxRegions = 16;

    /// A new, empty arena. Pages cost memory only once they are touched. Errors: errno of
    /// memfd_create(2), ftruncate(2), fcntl(2) F_ADD_SEALS, mmap(2).
    static Result<Arena> create(std::span<const RegionSpec> regions);
    /// Maps an arena that another process made. EPROTO when it is not one, is not sealed against
    /// shrinking, is of another version, or lies about its size; EINVAL when its regions are not
    /// `regions`.
    static Result<Arena> attach(Fd memfd, std::span<const RegionSpec> regions);

    Arena(Arena&& other) noexcept;
    Arena& operator=(Arena&&) = delete;
    ~Arena();

    /// REQUIRES: `id` was among the regions given to create() or attach().
    Region region(std::uint32_t id) const noexcept;
    int fd() const noexcept { return memfd_.get(); }
    /// Gives the pages of [offset, offset + length) back to the system; they read as zero
    /// afterwards.
    void discard(std::uint64_t offset, std::uint64_t length) const noexcept;

private:
    Arena(Fd memfd, std::byte* base, std::size_t size) noexcept
        : memfd_(std::move(memfd)), base_(base), size_(size) {}

    Fd memfd_;
    std::byte* base_;
    std::size_t size_;
};

/// The records of one region as objects. A record is free, valid, or was being written when its
/// writer died (torn). INVARIANT: commit word 0 = free, odd = being written, even = valid.
template <class T>
class Table {
    static_assert(std::is_trivially_copyable_v<T>, "records are plain data");

public:
    using Index = std::uint32_t;
    static constexpr Index kNone = ~Index{0};

    struct Cell {
        std::atomic<std::uint32_t> commit;
        std::uint32_t reserved;
        T record;
    };

    static constexpr RegionSpec spec(std::uint32_t id, std::uint64_t capacity) noexcept {
        return {id, (sizeof(Cell) + 7) / 8 * 8, capacity};
    }

    /// Finds free records below the high-water mark; torn ones are reported, not reused.
    explicit Table(const Region& region) : region_(region) {
        for (Index i = 0; i < *region_.high_water; ++i) {
            const auto word = cell(i).commit.load(std::memory_order_acquire);
            if (word == 0) {
                free_.push_back(i);
            } else if (word % 2 == 1) {
                torn_.push_back(i);
            }
        }
    }

    /// kNone when the region is full. The record becomes valid with its first content.
    Index insert(const T& record) {
        Index index = kNone;
        if (!free_.empty()) {
            index = free_.back();
            free_.pop_back();
        } else if (*region_.high_water < region_.capacity) {
            index = static_cast<Index>((*region_.high_water)++);
        } else {
            return kNone;
        }
        auto& target = cell(index);
        target.commit.store(1, std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        target.record = record;
        target.commit.store(2, std::memory_order_release);
        return index;
    }

    /// Changes a record; whoever finds the arena after a crash in between sees it as torn.
    template <class F>
    void update(Index index, F&& change) {
        auto& target = cell(index);
        const auto word = target.commit.load(std::memory_order_relaxed);
        target.commit.store(word + 1, std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        change(target.record);
        auto next = word + 2;
        if (next == 0) next = 2;
        target.commit.store(next, std::memory_order_release);
    }

    void erase(Index index) {
        cell(index).commit.store(0, std::memory_order_release);
        free_.push_back(index);
    }

    const T& operator[](Index index) const noexcept { return cell(index).record; }
    bool is_valid(Index index) const noexcept {
        const auto word = cell(index).commit.load(std::memory_order_acquire);
        return word != 0 && word % 2 == 0;
    }
    Index high_water() const noexcept { return static_cast<Index>(*region_.high_water); }
    std::uint64_t size() const noexcept { return *region_.high_water - free_.size(); }
    std::uint64_t capacity() const noexcept { return region_.capacity; }
    const std::vector<Index>& torn() const noexcept { return torn_; }

private:
    Cell& cell(Index index) const noexcept {
        return *reinterpret_cast<Cell*>(region_.base + std::uint64_t{index} * region_.stride);
    }

    Region region_;
    std::vector<Index> free_;
    std::vector<Index> torn_;
};

}  // namespace uidnfs::core
