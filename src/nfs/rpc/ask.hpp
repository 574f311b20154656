// SPDX-License-Identifier: Apache-2.0
// One call of a small program (portmap, MOUNT) whose arguments are few bytes.
#pragma once

#include "core/task.hpp"
#include "nfs/rpc/transport.hpp"

#include <cstddef>
#include <span>

namespace uidnfs::nfs::rpc {

/// The results. `transport`, `credential` and `arguments` are the caller's until the end.
core::Task<core::Result<core::Slice>> ask(
    Transport& transport,
    ProcedureId id,
    const mapper::Credential& credential,
    std::span<const std::byte> arguments
);

}  // namespace uidnfs::nfs::rpc
