// SPDX-License-Identifier: Apache-2.0
// WriteLog: small writes are copied one behind another into a slot, so that each does not hold a
// slot of its own and neighbours become one extent. Reactor's thread only.
#pragma once

#include "core/slots.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

namespace uidnfs::fs {

class WriteLog {
public:
    explicit WriteLog(core::SlotPool& slots) noexcept : slots_(slots) {}

    /// Nothing when no slot is free. REQUIRES: data.size() <= slots.bytes().
    std::optional<core::Slice> copy(const core::Slice& data) {
        if (slot_.empty() || used_ + data.size() > slots_.bytes()) {
            auto* slot = slots_.take();
            if (!slot) return std::nullopt;
            slot_ = core::Slice(*slot, slot->data(), slots_.bytes());
            memory_ = slot;
            used_ = 0;
        }
        // As much as there is already: a mount that writes little holds little.
        const auto end = used_ + data.size();
        slots_.map(*memory_, end, std::min(end, kAhead));
        auto* target = memory_->data() + used_;
        std::memcpy(target, data.data(), data.size());
        auto copied = slot_.sub(used_, data.size());
        used_ += data.size();
        return copied;
    }

    /// Nothing is being written: the slot can go back.
    void close() noexcept {
        slot_ = {};
        memory_ = nullptr;
        used_ = 0;
    }

private:
    static constexpr std::size_t kAhead = 64u << 10;

    core::SlotPool& slots_;
    core::Slice slot_;
    core::Slot* memory_ = nullptr;
    std::size_t used_ = 0;
};

}  // namespace uidnfs::fs
