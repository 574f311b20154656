// SPDX-License-Identifier: Apache-2.0
// Arena: a fixed-size sparse shared mapping (memfd, sealed against shrinking) that outlives the
// worker. The keeper holds the descriptor, the worker maps it. It is divided into regions of equal
// records; records are plain data that refer to each other by index, never by pointer, so the next
// worker can rebuild its heap indexes from them. Owned by the worker's main; used on the reactor's
// thread only.
#pragma once

#include "core/error.hpp"
#include "core/fd.hpp"
#include "core/pages.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
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
    std::uint64_t* high_water = nullptr;  ///< no record at or above this is used
};

class Arena {
public:
    static constexpr std::uint32_t kVersion = 4;
    static constexpr std::size_t kMaxRegions = 16;

    /// A new, empty arena. Pages cost memory only once they are touched. Errors: errno of
    /// memfd_create(2), ftruncate(2), fcntl(2) F_ADD_SEALS, mmap(2).
    static Result<Arena> create(std::span<const RegionSpec> regions);
    /// Maps an arena that another process made. EPROTO when it is not one, is not sealed against
    /// shrinking, or lies about its size; EPROTONOSUPPORT when it is of another version; EINVAL
    /// when its regions are not `regions`. What its records say is not looked at
    /// (fs/arena_check.hpp).
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

/// One store into memory that the next process may find at any moment: nothing before it is done
/// later, and nothing after it earlier. A process that dies has executed all its stores up to one
/// point in the program's order, so only the compiler has to be held.
template <class V>
void publish(V& place, V value) noexcept {
    static_assert(sizeof(V) == 4 || sizeof(V) == 8, "one store of the machine");
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::atomic_ref<V>(place).store(value, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

/// The records of one region as objects. INVARIANT: every change is one store, so whoever finds the
/// region finds each record as it was before the change or as it is after it. What takes more than
/// one record says in its own order what stands (ExtentRecord::order).
template <class T>
class Table {
    static_assert(std::is_trivially_copyable_v<T>, "records are plain data");

public:
    using Index = std::uint32_t;
    static constexpr Index kNone = ~Index{0};

    enum Commit : std::uint32_t { kFree = 0, kValid = 1 };

    struct Cell {
        std::uint32_t commit;
        std::uint32_t reserved;
        T record;
    };

    static constexpr RegionSpec spec(std::uint32_t id, std::uint64_t capacity) noexcept {
        return {id, (sizeof(Cell) + 7) / 8 * 8, capacity};
    }

    explicit Table(const Region& region) : region_(region) {
        // The lowest first.
        for (auto i = high_water(); i-- > 0;) {
            if (!is_valid(i)) free_.push_back(i);
        }
        mapped_ = bytes_below(high_water());
    }

    /// kNone when the region is full. The record becomes valid with all its content.
    Index insert(const T& record) {
        Index index = kNone;
        if (!free_.empty()) {
            index = free_.back();
            free_.pop_back();
        } else if (*region_.high_water < region_.capacity) {
            index = high_water();
            map_ahead(index);
            publish(*region_.high_water, *region_.high_water + 1);
        } else {
            return kNone;
        }
        auto& target = cell(index);
        target.record = record;
        publish<std::uint32_t>(target.commit, kValid);
        return index;
    }

    /// Changes one member of a record.
    template <class V>
    void set(Index index, V T::*member, std::type_identity_t<V> value) noexcept {
        publish(cell(index).record.*member, value);
    }

    void erase(Index index) {
        publish<std::uint32_t>(cell(index).commit, kFree);
        free_.push_back(index);
    }

    /// Gives the memory of records back that are not used, where that is 64 KiB or more in a piece.
    /// Sorts the free ones: for idle moments. REQUIRES: the region is one of `arena`.
    void trim(const Arena& arena) {
        std::sort(free_.begin(), free_.end(), std::greater<>());  // the lowest is used first
        const auto end = high_water();
        Index top = 0;
        while (top < free_.size() && free_[top] + 1 + top == end) ++top;
        publish(*region_.high_water, std::uint64_t{end - top});
        free_.erase(free_.begin(), free_.begin() + top);
        free_.shrink_to_fit();
        discard(arena, bytes_below(end - top), mapped_);
        mapped_ = bytes_below(end - top);
        for (std::size_t i = 0; i < free_.size();) {
            auto last = i;
            while (last + 1 < free_.size() && free_[last + 1] + 1 == free_[last]) ++last;
            discard(arena, bytes_below(free_[last]), bytes_below(std::uint64_t{free_[i]} + 1));
            i = last + 1;
        }
    }

    const T& operator[](Index index) const noexcept { return cell(index).record; }
    std::uint32_t commit_word(Index index) const noexcept { return cell(index).commit; }
    bool is_valid(Index index) const noexcept { return commit_word(index) == kValid; }
    Index high_water() const noexcept { return static_cast<Index>(*region_.high_water); }
    std::uint64_t size() const noexcept { return *region_.high_water - free_.size(); }
    std::uint64_t capacity() const noexcept { return region_.capacity; }

private:
    Cell& cell(Index index) const noexcept {
        return *reinterpret_cast<Cell*>(region_.base + std::uint64_t{index} * region_.stride);
    }

    std::uint64_t bytes_below(std::uint64_t index) const noexcept { return index * region_.stride; }

    /// So that a new record finds its page mapped: as many bytes as there are already, at most
    /// 64 KiB, for small tables stay small.
    void map_ahead(Index index) noexcept {
        constexpr std::uint64_t kMost = 64u << 10;
        const auto end = bytes_below(std::uint64_t{index} + 1);
        if (end <= mapped_) return;
        const auto from = mapped_ / kMemoryPage * kMemoryPage;
        const auto to = page_above(std::min(end + std::min(end, kMost), bytes_below(capacity())));
        map_pages(region_.base + from, to - from);
        mapped_ = to;
    }

    /// The pages that lie between the two wholly.
    void discard(const Arena& arena, std::uint64_t first, std::uint64_t end) const noexcept {
        constexpr std::uint64_t kLeast = 64u << 10;
        const auto from = page_above(first);
        const auto to = end / kMemoryPage * kMemoryPage;
        if (to >= from + kLeast) arena.discard(region_.offset + from, to - from);
    }

    Region region_;
    std::vector<Index> free_;
    std::uint64_t mapped_ = 0;  ///< bytes of the region, from its beginning, but for trimmed ones
};

}  // namespace uidnfs::core
