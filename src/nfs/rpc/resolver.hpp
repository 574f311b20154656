// SPDX-License-Identifier: Apache-2.0
// Names to addresses. getaddrinfo() can block for minutes, so it runs on a thread of its own that
// owns nothing of ours; whoever stops waiting leaves it behind.
#pragma once

#include "core/error.hpp"
#include "core/reactor.hpp"
#include "core/task.hpp"
#include "nfs/rpc/endpoint.hpp"

#include <string>
#include <vector>

namespace uidnfs::nfs::rpc {

/// All IPv4 and IPv6 addresses in the order of preference (RFC 6724), without doubles. ENOENT when
/// the name does not exist, EAGAIN when the resolver cannot say at the moment, ETIMEDOUT.
core::Task<core::Result<std::vector<Address>>> resolve(
    core::Reactor& reactor, std::string host, core::SteadyTime deadline
);

}  // namespace uidnfs::nfs::rpc
