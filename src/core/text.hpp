// SPDX-License-Identifier: Apache-2.0
// Small helpers for text: reading files of /proc, showing what came from elsewhere. Any thread.
#pragma once

#include "core/error.hpp"
#include "core/log.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace uidnfs::core {

/// A whole file whose size is not known beforehand, at most 16 MiB. Errors: errno, EFBIG.
Result<std::string> read_whole(const std::string& path);

/// Names from a server must not reach a terminal as they are.
using log::printable;

/// strerror(3), thread-safe.
std::string describe_errno(int code);

/// "2026-01-31T12:00:00Z" (RFC 3339).
std::string utc_time(std::chrono::system_clock::time_point when);

/// "17 bytes", "1.5 MiB".
std::string human_bytes(std::uint64_t bytes);

}  // namespace uidnfs::core
