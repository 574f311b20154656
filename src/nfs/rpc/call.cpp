// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/call.hpp"

#include <array>
#include <cstring>

namespace uidnfs::nfs::rpc {
namespace {

constexpr std::size_t kMarkBytes = 4;
constexpr std::size_t kFixedHeaderBytes = kMarkBytes + 6 * 4;
constexpr std::uint32_t kLastFragment = 0x8000'0000;
constexpr std::uint32_t kRpcVersion = 2;
#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t kKeptCalls = 0;  // a call that is used after its end shall be seen
#else
constexpr std::size_t kKeptCalls = 256;
#endif
constexpr std::size_t kKeptHeadBytes = 8192;

void store(std::byte* to, std::uint32_t value) noexcept {
    value = __builtin_bswap32(value);
    std::memcpy(to, &value, sizeof value);
}

}  // namespace

std::span<std::byte> Call::begin(
    const ProcedureId& id, const mapper::Credential& credential, std::size_t argument_bytes
) {
    const auto encoded = credential.encoded();
    const auto prefix = kFixedHeaderBytes + encoded.size();
    if (head.size() < prefix + argument_bytes) head.resize(prefix + argument_bytes);
    const std::array<std::uint32_t, 5> words{0, kRpcVersion, id.program, id.version, id.procedure};
    auto* at = head.data() + kMarkBytes + 4;  // mark and xid are known later
    for (const auto word : words) {
        store(at, word);
        at += 4;
    }
    std::memcpy(at, encoded.data(), encoded.size());
    head_bytes = prefix;
    return {head.data() + prefix, argument_bytes};
}

void Call::end(std::size_t argument_bytes, std::span<const core::Slice> data) {
    head_bytes += argument_bytes;
    payload = data;
    payload_bytes = 0;
    for (const auto& slice : data) payload_bytes += slice.size();
    padding_bytes = (4 - payload_bytes % 4) % 4;
    store(head.data(), static_cast<std::uint32_t>(record_bytes() - kMarkBytes) | kLastFragment);
}

void Call::set_xid(std::uint32_t value) noexcept {
    xid = value;
    store(head.data() + kMarkBytes, value);
}

void Call::reset() noexcept {
    payload = {};
    head_bytes = payload_bytes = padding_bytes = 0;
    sent = 0;
    transmissions = 0;
    repetitions = 0;
    too_long_replies = 0;
    reply_bytes = 0;
    send = Send::now;
    early_reply.reset();
    waiter = nullptr;
    result = core::Error();
    if (head.size() > kKeptHeadBytes) head = {};
}

CallRef CallPool::take() {
    if (free_.empty()) return CallRef(new Call, Return{this});
    auto* call = free_.back().release();
    free_.pop_back();
    return CallRef(call, Return{this});
}

void CallPool::give_back(Call* call) noexcept {
    std::unique_ptr<Call> owned(call);
    if (free_.size() >= kKeptCalls) return;
    owned->reset();
    free_.push_back(std::move(owned));
}

void CallPool::trim() noexcept {
    free_.clear();
    free_.shrink_to_fit();
}

void CallList::push_back(Call& call) noexcept {
    call.previous = tail_;
    call.next = nullptr;
    (tail_ ? tail_->next : head_) = &call;
    tail_ = &call;
    ++size_;
}

void CallList::remove(Call& call) noexcept {
    (call.previous ? call.previous->next : head_) = call.next;
    (call.next ? call.next->previous : tail_) = call.previous;
    call.previous = call.next = nullptr;
    --size_;
}

}  // namespace uidnfs::nfs::rpc
