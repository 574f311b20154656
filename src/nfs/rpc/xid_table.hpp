// SPDX-License-Identifier: Apache-2.0
// XidTable: which call a reply belongs to. Open addressing: xids are counted up, so that nearly
// every call has a place of its own. Owned by one Connection.
#pragma once

#include "nfs/rpc/call.hpp"

#include <cstdint>
#include <vector>

namespace uidnfs::nfs::rpc {

class XidTable {
public:
    XidTable() : slots_(kInitialSlots) {}

    /// REQUIRES: no call with this xid is in it.
    void insert(Call& call);
    Call* find(std::uint32_t xid) const noexcept;
    /// REQUIRES: the call is in it.
    void erase(const Call& call) noexcept;
    std::size_t size() const noexcept { return size_; }

private:
    static constexpr std::size_t kInitialSlots = 256;

    std::size_t home(std::uint32_t xid) const noexcept { return xid & (slots_.size() - 1); }
    std::size_t after(std::size_t slot) const noexcept { return (slot + 1) & (slots_.size() - 1); }
    void place(Call& call) noexcept;

    std::vector<Call*> slots_;  // a power of two of them, at most half in use
    std::size_t size_ = 0;
};

}  // namespace uidnfs::nfs::rpc
