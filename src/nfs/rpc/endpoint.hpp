// SPDX-License-Identifier: Apache-2.0
// Where a server listens, and how messages write it.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include <cstdint>
#include <string>

namespace uidnfs::nfs::rpc {

using Endpoint = boost::asio::ip::tcp::endpoint;
using Address = boost::asio::ip::address;

/// "192.0.2.1:2049", "[2001:db8::1]:2049".
std::string to_string(const Endpoint& endpoint);

}  // namespace uidnfs::nfs::rpc
