// SPDX-License-Identifier: Apache-2.0
// NfsService: NFS version 3 on the wire (RFC 1813) in front of a MemoryServer. Peer's thread only.
#pragma once

#include "support/memory_server.hpp"
#include "support/service.hpp"

namespace uidnfs::test {

class NfsService {
public:
    explicit NfsService(MemoryServer& server) noexcept : server_(&server) {}

    /// Throws XdrError for arguments that are none. Asks MemoryServer::admit().
    Work prepare(const RpcCall& call);

private:
    MemoryServer* server_;
};

}  // namespace uidnfs::test
