// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/xid_table.hpp"

#include <utility>

namespace uidnfs::nfs::rpc {

void XidTable::place(Call& call) noexcept {
    auto slot = home(call.xid);
    while (slots_[slot]) slot = after(slot);
    slots_[slot] = &call;
}

void XidTable::insert(Call& call) {
    if ((size_ + 1) * 2 > slots_.size()) {
        const auto old = std::exchange(slots_, std::vector<Call*>(slots_.size() * 2));
        for (auto* other : old) {
            if (other) place(*other);
        }
    }
    place(call);
    ++size_;
}

Call* XidTable::find(std::uint32_t xid) const noexcept {
    for (auto slot = home(xid); slots_[slot]; slot = after(slot)) {
        if (slots_[slot]->xid == xid) return slots_[slot];
    }
    return nullptr;
}

void XidTable::erase(const Call& call) noexcept {
    auto hole = home(call.xid);
    while (slots_[hole] != &call) hole = after(hole);
    // Close the gap: whoever was pushed past the hole moves back into it, or would not be found.
    for (auto slot = after(hole); slots_[slot]; slot = after(slot)) {
        const auto distance_home = (slot - home(slots_[slot]->xid)) & (slots_.size() - 1);
        const auto distance_hole = (slot - hole) & (slots_.size() - 1);
        if (distance_home >= distance_hole) {
            slots_[hole] = slots_[slot];
            hole = slot;
        }
    }
    slots_[hole] = nullptr;
    --size_;
}

}  // namespace uidnfs::nfs::rpc
