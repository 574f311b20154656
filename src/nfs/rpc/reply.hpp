// SPDX-License-Identifier: Apache-2.0
// The head of a reply record (RFC 5531 section 9): whose it is, and where the results begin. Pure.
#pragma once

#include "core/buffer.hpp"
#include "core/error.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace uidnfs::nfs::rpc {

/// Whether the server may have seen the call more than once.
enum class Transmission : std::uint8_t { once, repeated };

/// The results of a call that the server accepted.
struct Reply {
    core::Slice results;
    Transmission transmission = Transmission::once;
};

/// The xid; nothing when the record is no reply at all, so that the stream cannot be trusted
/// further.
std::optional<std::uint32_t> reply_xid(std::span<const std::byte> record) noexcept;

/// Where the results begin. The fault that the server reported, or a protocol error for nonsense.
/// REQUIRES: reply_xid() gave something.
core::Result<std::size_t> results_offset(std::span<const std::byte> record) noexcept;

}  // namespace uidnfs::nfs::rpc
