// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/reply.hpp"

#include "nfs/rpc/status.hpp"
#include "nfs/xdr_reader.hpp"

namespace uidnfs::nfs::rpc {
namespace {

constexpr std::uint32_t kReply = 1;
constexpr std::uint32_t kAccepted = 0;
constexpr std::uint32_t kDenied = 1;
constexpr std::uint32_t kRpcMismatch = 0;
constexpr std::uint32_t kAuthError = 1;
constexpr std::uint32_t kSuccess = 0;
constexpr std::uint32_t kMaxVerifierBytes = 400;

}  // namespace

std::optional<std::uint32_t> reply_xid(std::span<const std::byte> record) noexcept {
    XdrReader in(record);
    const auto xid = in.u32();
    const auto direction = in.u32();
    if (!in.ok() || direction != kReply) return std::nullopt;
    return xid;
}

core::Result<std::size_t> results_offset(std::span<const std::byte> record) noexcept {
    XdrReader in(record);
    in.u32();
    in.u32();
    const auto stat = in.u32();
    if (stat == kDenied) {
        const auto why = in.u32();
        const auto auth_stat = in.u32();
        if (!in.ok()) return protocol_error();
        if (why == kRpcMismatch) return to_error(Fault::rpc_mismatch);
        if (why == kAuthError) return to_error(auth_fault(auth_stat));
        return protocol_error();
    }
    if (stat != kAccepted) return protocol_error();
    in.u32();
    in.opaque(kMaxVerifierBytes);
    const auto accept_stat = in.u32();
    if (!in.ok()) return protocol_error();
    if (accept_stat == kSuccess) return record.size() - in.remaining();
    if (const auto fault = accept_fault(accept_stat)) return to_error(*fault);
    return protocol_error();
}

}  // namespace uidnfs::nfs::rpc
