// SPDX-License-Identifier: Apache-2.0
// The portmapper, version 2 (RFC 1833 section 3): on which TCP port does a program listen?
#pragma once

#include "nfs/rpc/transport.hpp"

#include <cstdint>
#include <span>

namespace uidnfs::nfs::portmap {

inline constexpr std::uint16_t kPort = 111;

/// 0: the program is not registered for TCP.
core::Task<core::Result<std::uint16_t>> get_port(
    rpc::Transport& transport,
    const mapper::Credential& credential,
    std::uint32_t program,
    std::uint32_t version
);

/// Results of GETPORT. Pure.
core::Result<std::uint16_t> decode_get_port(std::span<const std::byte> results);

}  // namespace uidnfs::nfs::portmap
