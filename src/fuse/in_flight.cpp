// SPDX-License-Identifier: Apache-2.0
#include "fuse/in_flight.hpp"

#include "fuse/libfuse.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

namespace uidnfs::fuse {
namespace {

/// Beside those of fs/records.hpp.
enum RegionId : std::uint32_t { kInitRegion = 32, kInFlightRegion = 33 };

struct InitRecord {
    std::uint32_t request_size;
    std::uint32_t reply_size;  ///< stored last; 0: none
    std::array<std::byte, 512> request;
    std::array<std::byte, 512> reply;
    std::uint64_t read_mark;  ///< ReadMark
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

/// As the kernel wrote it into a slot; nothing where that is no request.
std::optional<KeptRequest> request_in(core::SlotPool& slots, std::uint32_t index) {
    auto* const slot = slots.adopt(index);
    if (!slot) return std::nullopt;
    core::Slice keep(*slot, slot->data(), slots.bytes());
    fuse_in_header header{};
    std::memcpy(&header, slot->data(), sizeof header);
    const bool is_one = header.len >= sizeof header && header.len <= slots.bytes() &&
                        header.unique != 0 && (header.unique & kInterruptBit) == 0;
    if (!is_one) return std::nullopt;
    return KeptRequest{
        header.unique, header.opcode, std::move(keep), slot, {slot->data(), header.len}};
}

}  // namespace

InFlight::InFlight(const core::Region& region) : region_(region) {
    free_.reserve(region.capacity);  // end() must not fail
    for (auto i = static_cast<Index>(*region_.high_water); i-- > 0;) {
        const auto& record = at(i);
        if (record.unique == 0) {
            free_.push_back(i);
        } else if ((record.stand == InFlightRecord::released && record.slot == 0) ||
                   !before_.try_emplace(record.unique, i).second) {
            publish(at(i).unique, std::uint64_t{0});
            free_.push_back(i);
        } else {
            ++used_;
        }
    }
}

core::Result<std::vector<KeptRequest>> InFlight::adopt(core::SlotPool& slots) {
    std::vector<KeptRequest> found;
    for (const auto& [unique, index] : before_) {
        if (at(index).slot == 0) continue;
        auto request = request_in(slots, at(index).slot - 1);
        if (!request || request->unique != unique || request->opcode != at(index).opcode) {
            return core::Error(EPROTO);
        }
        keep(index, *request->slot);
        found.push_back(std::move(*request));
    }
    return found;
}

bool InFlight::adopt(const KeptRequest& request) {
    if (before_.contains(request.unique)) return false;
    const auto index = begin(request.unique, request.opcode, request.slot);
    if (index != kNone) before_.emplace(request.unique, index);
    return true;
}

void InFlight::keep(Index index, core::Slot& slot) {
    if (kept_.size() <= index) kept_.resize(index + 1);
    kept_[index] = &slot;
    slot.retain();
}

InFlight::Index InFlight::begin(std::uint64_t unique, std::uint32_t opcode, core::Slot* keep_in) {
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
    const auto slot = keep_in ? keep_in->index() + 1 : 0;
    record = InFlightRecord{0, {}, 0, 0, opcode, 0, InFlightRecord::among_others, slot, 0};
    if (keep_in) keep(index, *keep_in);
    publish(record.unique, unique);
    ++used_;
    return index;
}

InFlight::Index InFlight::resume(std::uint64_t unique, Death death) {
    const auto found = before_.find(unique);
    if (found == before_.end()) return kNone;
    const auto index = found->second;
    before_.erase(found);
    auto& record = at(index);
    const auto suspicion = std::min(record.suspicion + weight(death), 0xffff);
    publish(record.suspicion, static_cast<std::uint16_t>(suspicion));
    return index;
}

void InFlight::settle() {
    for (const auto& [unique, index] : before_) end(index);
    before_.clear();
}

void InFlight::end(Index index) noexcept {
    if (index == kNone) return;
    publish(at(index).unique, std::uint64_t{0});
    if (at(index).slot != 0) std::exchange(kept_[index], nullptr)->release();
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

void ReadMark::set(core::Slot& slot) noexcept {
    // What lies there was a request once, or bytes of a file: its length goes.
    const std::uint64_t none = 0;
    std::memcpy(slot.data(), &none, sizeof none);
    publish(*word_, std::uint64_t{slot.index()} + 1);
}

void ReadMark::clear() noexcept { publish(*word_, std::uint64_t{0}); }

SessionMemory::SessionMemory(const core::Arena& arena)
    : init_region_(arena.region(kInitRegion)),
      in_flight_(arena.region(kInFlightRegion)),
      read_mark_(reinterpret_cast<InitRecord*>(init_region_.base)->read_mark) {}

core::Result<std::vector<KeptRequest>> SessionMemory::adopt(core::SlotPool& slots) {
    auto found = in_flight_.adopt(slots);
    if (!found) return found;
    if (const auto mark = read_mark_.get(); mark != 0) {
        if (mark > slots.capacity()) return core::Error(EPROTO);
        // No request: the process died before the kernel gave one.
        auto request = request_in(slots, static_cast<std::uint32_t>(mark - 1));
        const bool is_new = request && has_answer(request->opcode) && in_flight_.adopt(*request);
        if (is_new) found->push_back(std::move(*request));
        read_mark_.clear();
    }
    std::sort(found->begin(), found->end(), [](const KeptRequest& a, const KeptRequest& b) {
        return a.unique < b.unique;
    });
    return found;
}

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
