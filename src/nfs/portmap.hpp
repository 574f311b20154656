// SPDX-License-Identifier: Apache-2.0
// The portmapper (RFC 1833): on which TCP port does a program listen? Version 3 (rpcbind), which
// knows IPv6; version 2 from servers that have nothing newer, or that know the program there only.
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

/// Results of GETPORT (version 2). Pure.
core::Result<std::uint16_t> decode_get_port(std::span<const std::byte> results);
/// Results of GETADDR (version 3): a universal address, "::.8.1" for port 2049. Pure.
core::Result<std::uint16_t> decode_get_address(std::span<const std::byte> results);

}  // namespace uidnfs::nfs::portmap
