// SPDX-License-Identifier: Apache-2.0
// The door of a mount, MINOR.worker beside its control socket: where a worker whose keeper was
// killed waits for the next one. The keeper makes it and hands it to each worker, which listens on
// it too, so that the kernel's word about who listens (SO_PEERCRED) is about the worker. Nobody is
// let in while the keeper lives.
#pragma once

#include "control/channel.hpp"
#include "control/spawn.hpp"
#include "core/error.hpp"

#include <cstdint>
#include <string>

namespace uidnfs::control {

/// Whoever waits behind a door, proved to be the worker of its mount.
struct Behind {
    Channel channel;
    Child worker;
};

/// ENOENT, ECONNREFUSED: no process is behind it any more. EAGAIN: not the worker yet, which takes
/// it over in a moment, or too many ask already. EPERM: whoever listens is not the worker, which
/// runs as `uid` and says that it serves `mountpoint`.
core::Result<Behind> knock(
    const std::string& path, std::uint32_t uid, const std::string& mountpoint
);

}  // namespace uidnfs::control
