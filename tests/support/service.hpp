// SPDX-License-Identifier: Apache-2.0
// What RpcPeer and the programs behind it say to each other: a call taken apart as far as RFC 5531 goes,
// and what is to be done with it. Peer's thread only.
#pragma once

#include "support/call_log.hpp"
#include "support/xdr.hpp"

#include <cstdint>
#include <functional>
#include <optional>

namespace uidnfs::test {

inline constexpr std::uint32_t kNfsProgram = 100003;
inline constexpr std::uint32_t kMountProgram = 100005;
inline constexpr std::uint32_t kPortmapProgram = 100000;

struct RpcCall {
    std::uint32_t xid = 0;
    std::uint32_t program = 0;
    std::uint32_t version = 0;
    std::uint32_t procedure = 0;
    std::uint32_t flavor = 0;    ///< of the credential: AUTH_NONE 0, AUTH_SYS 1
    std::string machine = {};
    Identity who = {};
    Bytes arguments = {};
    std::uint16_t port = 0;  ///< of the client
};

/// accept_stat of RFC 5531.
enum class Accept : std::uint32_t {
    success = 0,
    program_unavailable = 1,
    program_mismatch = 2,
    procedure_unavailable = 3,
    garbage_arguments = 4,
    system_error = 5,
};

/// A decoded call; `execute` does it and writes the results. May be run more than once.
struct Work {
    Accept accept = Accept::success;
    std::function<void(XdrWriter&)> execute = {};
    Fault fault = {};
    std::optional<Procedure> procedure = {};  ///< of NFS calls
};

}  // namespace uidnfs::test
