// SPDX-License-Identifier: Apache-2.0
// ClientState: what the next worker needs to go on with a server without asking it for anything:
// it may be silent at that moment. Integers only, for the memory it lies in is shared with a process
// that died. Pure.
#pragma once

#include "nfs/rpc/endpoint.hpp"
#include "nfs/types.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace uidnfs::nfs::v3 {

struct ClientState {
    rpc::Endpoint server;
    rpc::Endpoint mount_service;  ///< port 0: nobody to tell of the end
    FileHandle root;
    FsInfo fs_info;
    Attr root_attr;                    ///< as the mount step saw it
    std::vector<std::uint16_t> ports;  ///< source ports, one for each connection; 0: none yet
};

std::vector<std::byte> encode(const ClientState& state);
/// Nothing for what encode() of this version does not make.
std::optional<ClientState> decode_client_state(std::span<const std::byte> bytes);

}  // namespace uidnfs::nfs::v3
