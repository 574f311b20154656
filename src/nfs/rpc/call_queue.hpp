// SPDX-License-Identifier: Apache-2.0
// CallQueue: the calls of one connection that wait for an answer, in the order in which they were
// made, and how far they have been sent. Pure bookkeeping, no socket. Owned by a Connection.
#pragma once

#include "nfs/rpc/call.hpp"
#include "nfs/rpc/xid_table.hpp"

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace uidnfs::nfs::rpc {

class CallQueue {
public:
    /// REQUIRES: its xid is set.
    void add(Call& call);
    void remove(Call& call);
    /// The call behind an xid; nothing when nobody waits, or before a byte of it went out.
    Call* find(std::uint32_t xid) const noexcept;

    /// Somebody waits for this xid, whether sent or not: it must not be given to another call.
    bool is_taken(std::uint32_t xid) const noexcept { return xids_.find(xid) != nullptr; }

    bool empty() const noexcept { return calls_.empty(); }
    std::size_t size() const noexcept { return calls_.size(); }
    Call* front() const noexcept { return calls_.front(); }
    Call* back() const noexcept { return calls_.back(); }
    /// A reply of kBulkBytes or more may come.
    bool expects_bulk() const noexcept { return bulk_calls_ > 0; }
    /// Payload of all of them, in both directions.
    std::uint64_t load_bytes() const noexcept { return load_bytes_; }

    bool has_unsent() const noexcept { return unsent_ != nullptr; }
    struct Gathered {
        std::size_t pieces = 0;
        std::size_t bytes = 0;
    };
    /// What goes out next, from where it lies: as many calls as fit into `pieces`.
    Gathered gather(std::span<iovec> pieces) const noexcept;
    /// So many bytes of that went out. The calls that are wholly sent by it are added to `whole`.
    void sent(std::size_t bytes, core::SteadyTime now, std::vector<Call*>& whole);
    /// The stream begins anew: everything goes out again.
    void rewind() noexcept;
    /// This call goes out again on the same stream, behind all others. REQUIRES: it is wholly sent.
    void send_again(Call& call) noexcept;

private:
    // INVARIANT: the calls before unsent_ are wholly sent, those behind it not at all.
    CallList calls_;
    Call* unsent_ = nullptr;
    XidTable xids_;
    std::size_t bulk_calls_ = 0;
    std::uint64_t load_bytes_ = 0;
};

}  // namespace uidnfs::nfs::rpc
