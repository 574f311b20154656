// SPDX-License-Identifier: Apache-2.0
// ServerUrl: where a directory server is, from a URL of the configuration. Pure.
#pragma once

#include "core/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace uidnfs::ldap {

struct ServerUrl {
    enum class Scheme : std::uint8_t { ldap, ldaps, ldapi };
    Scheme scheme = Scheme::ldap;
    std::string text;        ///< as configured, for logs
    std::string host = {};   ///< name or address, without brackets; not of ldapi
    std::uint16_t port = 0;  ///< 389 and 636 where the URL has none
    std::string path = {};   ///< socket of ldapi
};

/// Only scheme, host and port: a DN, filter or extension in the URL is an error, for they are
/// configured elsewhere. The text of the Failure says what is allowed.
core::Outcome<ServerUrl> parse_server_url(std::string_view text);

/// "localhost", 127.0.0.0/8 or ::1 by name; what a name resolves to is judged when connected.
bool is_loopback_name(std::string_view host);

}  // namespace uidnfs::ldap
