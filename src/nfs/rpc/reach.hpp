// SPDX-License-Identifier: Apache-2.0
// Which of a server's addresses answers? A name may have an IPv6 address that leads nowhere or an
// address of a machine that is down: they are tried side by side (RFC 8305), not one time-out after
// the other.
#pragma once

#include "core/reactor.hpp"
#include "core/task.hpp"
#include "nfs/rpc/endpoint.hpp"

#include <chrono>
#include <vector>

namespace uidnfs::nfs::rpc {

/// The next address has its turn when the one before it failed or has not answered for so long.
inline constexpr std::chrono::milliseconds kAddressHeadStart{250};

/// `addresses` with the first one that takes a TCP connection on `port` in front; as they were when
/// none does before `deadline`. Nothing is sent; the connections end before this does.
core::Task<std::vector<Address>> nearest_first(
    core::Reactor& reactor,
    std::vector<Address> addresses,
    std::uint16_t port,
    core::SteadyTime deadline
);

}  // namespace uidnfs::nfs::rpc
