// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/call_queue.hpp"

#include "nfs/rpc/record_reader.hpp"

#include <algorithm>
#include <array>

namespace uidnfs::nfs::rpc {

void CallQueue::add(Call& call) {
    calls_.push_back(call);
    xids_.insert(call);
    if (!unsent_) unsent_ = &call;
    if (call.reply_bytes >= kBulkBytes) ++bulk_calls_;
    load_bytes_ += call.payload_bytes + call.reply_bytes;
}

void CallQueue::remove(Call& call) {
    if (unsent_ == &call) unsent_ = call.next;
    xids_.erase(call);
    calls_.remove(call);
    if (call.reply_bytes >= kBulkBytes) --bulk_calls_;
    load_bytes_ -= call.payload_bytes + call.reply_bytes;
}

Call* CallQueue::find(std::uint32_t xid) const noexcept {
    auto* const call = xids_.find(xid);
    // A guess of the next xid is no answer to it.
    if (call && call->transmissions == 0 && call->sent == 0) return nullptr;
    return call;
}

CallQueue::Gathered CallQueue::gather(std::span<iovec> pieces) const noexcept {
    static constexpr std::array<std::byte, 3> kPadding{};
    Gathered out;
    auto skip = unsent_ ? unsent_->sent : 0;
    const auto add = [&](const std::byte* data, std::size_t bytes) {
        if (skip >= bytes) {
            skip -= bytes;
            return;
        }
        if (out.pieces == pieces.size()) return;
        pieces[out.pieces++] = {const_cast<std::byte*>(data) + skip, bytes - skip};
        out.bytes += bytes - skip;
        skip = 0;
    };
    for (const auto* call = unsent_; call && out.pieces < pieces.size(); call = call->next) {
        add(call->head.data(), call->head_bytes);
        for (const auto& slice : call->payload) {
            if (out.pieces == pieces.size()) break;
            add(slice.data(), slice.size());
        }
        add(kPadding.data(), call->padding_bytes);
    }
    return out;
}

void CallQueue::sent(std::size_t bytes, core::SteadyTime now, std::vector<Call*>& whole) {
    while (bytes > 0) {
        auto& call = *unsent_;
        const auto taken = std::min(bytes, call.record_bytes() - call.sent);
        if (call.sent == 0 && call.repetitions == 0) call.first_sent_at = now;
        call.sent += taken;
        call.sent_at = now;
        bytes -= taken;
        if (!call.is_sent()) return;
        ++call.transmissions;
        unsent_ = call.next;
        whole.push_back(&call);
    }
}

void CallQueue::rewind() noexcept {
    unsent_ = calls_.front();
    for (auto* call = calls_.front(); call; call = call->next) {
        call->sent = 0;
        call->repetitions = 0;
    }
}

void CallQueue::send_again(Call& call) noexcept {
    calls_.remove(call);
    call.sent = 0;
    ++call.repetitions;
    calls_.push_back(call);
    if (!unsent_) unsent_ = &call;
}

}  // namespace uidnfs::nfs::rpc
