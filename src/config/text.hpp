// SPDX-License-Identifier: Apache-2.0
// Small text helpers of the option parser: what may be shown of somebody's input, and which known
// word an unknown one resembles. Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace uidnfs::config {

/// `text` fit for a message: control characters and what is not UTF-8 as \xNN, at most `max_bytes`
/// of it without parts of characters, then "...".
std::string shown(std::string_view text, std::size_t max_bytes = 80);

/// True when a byte below 0x20 or 0x7f is in `text`.
bool has_control_characters(std::string_view text) noexcept;

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`; upper and
/// lower case count as the same, '-' as '_'. Cost: size of a times size of b.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace uidnfs::config
