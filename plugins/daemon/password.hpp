// SPDX-License-Identifier: Apache-2.0
// A password from a person or a pipe.
#pragma once

#include "core/console.hpp"
#include "core/error.hpp"
#include "core/secret.hpp"

#include <string_view>

namespace uidnfs::plugins {

/// Reads `fd` up to the first line feed or its end; a terminal is asked with `prompt`, without
/// echo. At most 4096 bytes; EINVAL when it is empty. Nothing else keeps a copy.
core::Outcome<core::Secret> read_password(int fd, core::Console& console, std::string_view prompt);

}  // namespace uidnfs::plugins
