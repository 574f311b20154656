// SPDX-License-Identifier: Apache-2.0
#include "fuse/in_flight.hpp"

#include "fuse/libfuse.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace uidnfs::fuse {
namespace {

/// Beside those of fs/records.hpp.
enum RegionId : std::uint32_t { kInitRegion = 32, kInFlightRegion = 33 };

struct InitRecord {
    std::uint32_t request_size;
    std::uint32_t reply_size;  ///< stored last; 0: none
    std::array<std::byte, 512> request;
    std::array<std::byte, 512> reply;
};

constexpr std::array<core::RegionSpec, 2> kRegions{
    core::RegionSpec{kInitRegion, sizeof(InitRecord), 1},
    core::RegionSpec{kInFlightRegion, sizeof(InFlightRecord), InFlight::kCapacity},
};
static_assert(sizeof(InitRecord) % 8 == 0 && sizeof(InFlightRecord) % 8 == 0);

/// A process that dies has executed its stores up to one point, so only the compiler is held.
template <class V>
void publish(V& place, V value) noexcept {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::atomic_ref<V>(place).store(value, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace

InFlight::InFlight(const core::Region& region) : region_(region) {
    free_.reserve(region.capacity);  // end() must not fail
    for (auto i = static_cast<Index>(*region_.high_water); i-- > 0;) {
        const auto& record = at(i);
        if (record.unique == 0) {
            free_.push_back(i);
        } else if (record.stand == InFlightRecord::released ||
                   !before_.try_emplace(record.unique, i).second) {
            publish(at(i).unique, std::uint64_t{0});
            free_.push_back(i);
        } else {
            ++used_;
        }
    }
}

InFlight::Index InFlight::begin(std::uint64_t unique, std::uint32_t opcode) {
    Index index = kNone;
    if (!free_.empty()) {
        index = free_.back();
        free_.pop_back();
    } else if (*region_.high_water < region_.capacity) {
        index = static_cast<Index>(*region_.high_water);
        publish(*region_.high_water, *region_.high_water + 1);
    } else {
        return kNone;
    }
    auto& record = at(index);
    record = InFlightRecord{0, {}, 0, 0, opcode, 0, InFlightRecord::among_others};
    publish(record.unique, unique);
    ++used_;
    return index;
}

InFlight::Index InFlight::resume(std::uint64_t unique) {
    const auto found = before_.find(unique);
    if (found == before_.end()) return kNone;
    const auto index = found->second;
    before_.erase(found);
    auto& record = at(index);
    publish(record.deaths, static_cast<std::uint16_t>(std::min(record.deaths + 1, 0xffff)));
    return index;
}

void InFlight::settle() {
    for (const auto& [unique, index] : before_) end(index);
    before_.clear();
}

void InFlight::end(Index index) noexcept {
    if (index == kNone) return;
    publish(at(index).unique, std::uint64_t{0});
    free_.push_back(index);
    --used_;
}

void InFlight::note_reply(Index index, std::uint64_t open, std::uint64_t entry) noexcept {
    if (index == kNone) return;
    publish(at(index).open, open);
    publish(at(index).entry, entry);
}

void InFlight::set_stand(Index index, InFlightRecord::Stand stand) noexcept {
    if (index != kNone) publish(at(index).stand, static_cast<std::uint16_t>(stand));
}

std::span<const core::RegionSpec> SessionMemory::arena_regions() { return kRegions; }

SessionMemory::SessionMemory(const core::Arena& arena)
    : init_region_(arena.region(kInitRegion)), in_flight_(arena.region(kInFlightRegion)) {}

std::optional<InitExchange> SessionMemory::init() const { return read_init(init_region_); }

std::optional<InitExchange> SessionMemory::init_in(const core::Arena& arena) {
    return read_init(arena.region(kInitRegion));
}

std::optional<InitExchange> SessionMemory::read_init(const core::Region& region) {
    const auto& record = *reinterpret_cast<const InitRecord*>(region.base);
    // The memory is shared with a process that died: what it says is looked at.
    const bool fits = record.request_size <= record.request.size() &&
                      record.request_size >= sizeof(fuse_in_header) &&
                      record.reply_size <= record.reply.size() &&
                      record.reply_size >= sizeof(fuse_out_header) + sizeof(fuse_init_out);
    if (!fits) return std::nullopt;
    fuse_in_header header{};
    std::memcpy(&header, record.request.data(), sizeof header);
    if (header.opcode != FUSE_INIT || header.len != record.request_size) return std::nullopt;
    return InitExchange{
        {record.request.begin(), record.request.begin() + record.request_size},
        {record.reply.begin(), record.reply.begin() + record.reply_size}};
}

void SessionMemory::save(const InitExchange& exchange) noexcept {
    auto& record = *reinterpret_cast<InitRecord*>(init_region_.base);
    // A kernel that says more than we keep has no take-over; it would not be understood again.
    if (exchange.request.size() > record.request.size() ||
        exchange.reply.size() > record.reply.size()) {
        return;
    }
    std::copy(exchange.request.begin(), exchange.request.end(), record.request.begin());
    std::copy(exchange.reply.begin(), exchange.reply.end(), record.reply.begin());
    record.request_size = static_cast<std::uint32_t>(exchange.request.size());
    publish(record.reply_size, static_cast<std::uint32_t>(exchange.reply.size()));
}

}  // namespace uidnfs::fuse
