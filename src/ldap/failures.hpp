// SPDX-License-Identifier: Apache-2.0
// The texts of every Failure, in one place: what was tried, on what, why not, what to do. The
// words of the driver that Cloud Foundry has today are kept where it had some. Pure.
#pragma once

#include "ldap/identity.hpp"

#include <string>
#include <string_view>

namespace uidnfs::ldap {

/// A user name for texts: printable, at most 64 bytes of it, in quotes.
std::string quoted(std::string_view user);

/// What a directory said, for lines that people read: it may say megabytes, and does not get to
/// fill a disk with them. What servers really say has some hundred bytes.
std::string brief(std::string_view said, std::size_t most = 512);

/// `why` goes to the user, `detail` (server, DN, codes) to the operator only.
Failure make_failure(
    FailureKind kind, std::string_view user, std::string_view why, std::string_view detail = {}
);

Failure empty_password(std::string_view user);
/// Empty, longer than kMaxUser bytes, or with control characters: asked no server.
Failure impossible_name(std::string_view user);
inline constexpr std::size_t kMaxUser = 256;
bool is_possible_name(std::string_view user);

}  // namespace uidnfs::ldap
