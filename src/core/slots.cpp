// SPDX-License-Identifier: Apache-2.0
#include "core/slots.hpp"

#include <algorithm>

namespace uidnfs::core {

std::byte* Slot::data() noexcept { return pool_->at(index_); }

void Slot::recycle() noexcept {
    pool_->free_.push_back(index_);
    pool_->is_free_[index_] = 1;
    if (pool_->available() == 1 && pool_->available_) pool_->available_();
}

SlotPool::SlotPool(const Arena& arena, const Region& region) : arena_(&arena), region_(region) {
    free_.reserve(region.capacity);  // recycle() must not fail
    touched_.assign(region.capacity, 0);
    mapped_.assign(region.capacity, 0);
    is_free_.assign(region.capacity, 0);
    for (std::uint32_t i = 0; i < *region_.high_water; ++i) {
        slots_.emplace_back(*this, i);
        free_.push_back(i);
        touched_[i] = is_free_[i] = 1;  // touched by whoever had the arena before
    }
}

Slot* SlotPool::take() noexcept {
    if (free_.empty()) {
        if (*region_.high_water == region_.capacity) return nullptr;
        slots_.emplace_back(*this, static_cast<std::uint32_t>(*region_.high_water));
        publish(*region_.high_water, *region_.high_water + 1);
        touched_[slots_.back().index()] = 1;
        return &slots_.back();
    }
    const auto index = free_.back();
    free_.pop_back();
    touched_[index] = 1;
    is_free_[index] = 0;
    return &slots_[index];
}

Slot* SlotPool::adopt(std::uint32_t index) noexcept {
    if (index >= slots_.size()) return nullptr;
    // Thousands of extents may lie in one slot.
    if (std::exchange(is_free_[index], 0)) std::erase(free_, index);
    return &slots_[index];
}

bool SlotPool::map(Slot& slot, std::size_t bytes, std::size_t ahead) noexcept {
    const auto pages = [this](std::uint64_t size) {
        return page_above(std::min<std::uint64_t>(size, region_.stride)) / kMemoryPage;
    };
    auto& mapped = mapped_[slot.index()];
    if (mapped >= pages(bytes)) return false;
    const auto wanted = pages(bytes + ahead);
    map_pages(slot.data() + mapped * kMemoryPage, (wanted - mapped) * kMemoryPage);
    mapped = static_cast<std::uint16_t>(wanted);
    return true;
}

void SlotPool::trim() noexcept {
    for (const auto index : free_) {
        if (!touched_[index]) continue;
        touched_[index] = 0;
        mapped_[index] = 0;
        arena_->discard(region_.offset + std::uint64_t{index} * region_.stride, region_.stride);
    }
}

}  // namespace uidnfs::core
