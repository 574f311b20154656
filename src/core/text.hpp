// SPDX-License-Identifier: Apache-2.0
// Small helpers for text: reading files of /proc, showing what came from elsewhere. Any thread.
#pragma once

#include "core/error.hpp"
#include "core/log.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::core {

/// A whole file whose size is not known beforehand, at most 16 MiB. Errors: errno, EFBIG.
Result<std::string> read_whole(const std::string& path);

/// Names from a server must not reach a terminal as they are.
using log::printable;

/// Bytes of the UTF-8 sequence that begins `text`; 0 when it is none (RFC 3629). REQUIRES: not
/// empty.
std::size_t utf8_sequence(std::string_view text) noexcept;
bool is_utf8(std::string_view text) noexcept;
/// `text` with U+FFFD for each byte that is no part of UTF-8. Also of JSON: Boost.JSON writes the
/// bytes of its strings as they are, and names of files may be any.
std::string with_valid_utf8(std::string_view text);

/// strerror(3), thread-safe.
std::string describe_errno(int code);

/// The lines of `text` that are not empty, at most `most`; views into it.
std::vector<std::string_view> lines_of(std::string_view text, std::size_t most = ~std::size_t{0});

/// Of times that are written down.
enum class Precision : std::uint8_t { seconds, milliseconds };
/// "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123Z" (RFC 3339).
std::string utc_time(
    std::chrono::system_clock::time_point when, Precision precision = Precision::seconds
);

/// "17 bytes", "1.5 MiB".
std::string human_bytes(std::uint64_t bytes);

}  // namespace uidnfs::core
