// SPDX-License-Identifier: Apache-2.0
// Call: one remote procedure call from its encoding to its answer. Owned by the coroutine that
// makes it (through CallRef); a Connection refers to it between submit() and the answer. Pooled, so
// that a steady state allocates nothing. Reactor's thread only.
#pragma once

#include "core/buffer.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"
#include "mapper/credential.hpp"
#include "nfs/rpc/reply.hpp"

#include <coroutine>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace uidnfs::nfs::rpc {

/// Which procedure of which program (RFC 5531 section 8).
struct ProcedureId {
    std::uint32_t program = 0;
    std::uint32_t version = 0;
    std::uint32_t procedure = 0;
};

/// Whether a call is worth a system call of its own.
enum class Send : std::uint8_t {
    now,     ///< unless others are already waiting to be sent
    gather,  ///< another one follows at once: both go together
};

struct Call {
    /// Starts the record: mark, call header, credential. Then room for `argument_bytes` of
    /// arguments.
    std::span<std::byte> begin(
        const ProcedureId& id, const mapper::Credential& credential, std::size_t argument_bytes
    );
    /// Ends it: so many bytes of arguments, and `payload` behind them as the last opaque<>, whose
    /// length the arguments already hold. The payload stays the caller's until the answer.
    void end(std::size_t argument_bytes, std::span<const core::Slice> payload = {});
    void set_xid(std::uint32_t xid) noexcept;
    void reset() noexcept;

    std::size_t record_bytes() const noexcept { return head_bytes + payload_bytes + padding_bytes; }
    bool is_partly_sent() const noexcept { return sent > 0 && sent < record_bytes(); }
    bool is_sent() const noexcept { return sent == record_bytes(); }

    // The record: head, then payload where it lies, then padding.
    std::vector<std::byte> head;
    std::size_t head_bytes = 0;
    std::span<const core::Slice> payload;
    std::size_t payload_bytes = 0;
    std::size_t padding_bytes = 0;

    // The connection's part.
    Call* previous = nullptr;
    Call* next = nullptr;
    std::uint32_t xid = 0;
    std::size_t sent = 0;             ///< bytes of the record handed to the current socket
    std::uint32_t transmissions = 0;  ///< times that the whole record was handed to a socket
    std::size_t reply_bytes = 0;      ///< the largest reply that is expected
    Send send = Send::now;
    core::SteadyTime queued_at;
    core::SteadyTime sent_at;                ///< when a byte of it last went out
    core::SteadyTime first_sent_at;          ///< when it began to go out on the current socket
    std::uint32_t repetitions = 0;           ///< on the current socket, because no answer came
    std::uint32_t too_long_replies = 0;      ///< each ended a connection
    std::optional<core::Slice> early_reply;  ///< came before the record was sent

    // The answer.
    std::coroutine_handle<> waiter;
    core::Result<Reply> result = core::Error();
};

/// Keeps finished calls for the next ones.
class CallPool {
public:
    struct Return {
        CallPool* pool;
        void operator()(Call* call) const noexcept { pool->give_back(call); }
    };
    using Ref = std::unique_ptr<Call, Return>;

    Ref take();
    void trim() noexcept;

private:
    void give_back(Call* call) noexcept;

    std::vector<std::unique_ptr<Call>> free_;
};

using CallRef = CallPool::Ref;

/// Calls in order, linked through themselves.
class CallList {
public:
    bool empty() const noexcept { return head_ == nullptr; }
    std::size_t size() const noexcept { return size_; }
    Call* front() const noexcept { return head_; }
    Call* back() const noexcept { return tail_; }
    void push_back(Call& call) noexcept;
    void remove(Call& call) noexcept;

private:
    Call* head_ = nullptr;
    Call* tail_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace uidnfs::nfs::rpc
