// SPDX-License-Identifier: Apache-2.0
// An IPv4 or IPv6 socket address as text. Pure.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>

namespace uidnfs::plugins::http {

/// "127.0.0.1:7589", "[::1]:7589"; nothing for other families.
std::optional<std::string> address_text(const sockaddr_storage& address);

}  // namespace uidnfs::plugins::http
