// SPDX-License-Identifier: Apache-2.0
// `uidnfsd support`: one text with what whoever helps must know: versions, configuration, volumes,
// metrics, the end of the audit. Without secrets: what could be one is replaced before it is
// printed.
#pragma once

#include "core/error.hpp"

#include <string>
#include <string_view>

namespace uidnfs::plugins {

/// `text` with the values of keys that hold or name secrets and people replaced: "(removed)". It
/// knows "key = value" of TOML and "key":"value" of JSON. Pure.
std::string redact(std::string_view text);

/// The body of GET `route` on a unix socket. Errors: errno of connect(2); ETIMEDOUT after 5 s.
core::Result<std::string> get_over_unix_socket(const std::string& path, std::string_view route);

}  // namespace uidnfs::plugins
