// SPDX-License-Identifier: Apache-2.0
// Whether a TOML text nests its keys too deeply to be read. toml++ limits brackets and not dotted
// keys, and walks what it made recursively. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace uidnfs::plugins {

/// Dots in one line, outside of strings and comments; with the 256 levels that toml++ allows for
/// brackets this bounds its stack. No key of uidnfsd.toml(5) has more than two.
inline constexpr std::uint32_t kMostDots = 16;

/// The first line, counted from 1, that has more of them.
std::optional<std::uint32_t> find_deep_line(std::string_view text) noexcept;

}  // namespace uidnfs::plugins
