// SPDX-License-Identifier: Apache-2.0
// VolumeKey: whose volume it is and what its platform calls it. Names come from the network: what
// becomes part of a path is directory_name(). Plain data.
#pragma once

#include "core/text.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace uidnfs::plugins {

/// The platform that speaks; each has volumes of its own, also under equal names.
enum class Dialect : std::uint8_t { docker, cloudfoundry };

std::string_view to_string(Dialect dialect) noexcept;
std::optional<Dialect> parse_dialect(std::string_view word) noexcept;

struct VolumeKey {
    Dialect dialect = Dialect::docker;
    std::string name;

    friend auto operator<=>(const VolumeKey&, const VolumeKey&) = default;
};

inline constexpr std::size_t kMaxVolumeName = 255;  // bytes

/// Whether a platform may use this name: 1 to 255 bytes of UTF-8 without control characters,
/// '/', '\' and "..". (reference: volumedriver refuses the same.)
bool is_volume_name(std::string_view name) noexcept;

using core::utf8_sequence;

/// One component of a path for any bytes whatever, at most 200 of [A-Za-z0-9_=.~%-], never
/// beginning with '.': "docker-NAME" with the other bytes as %XX, and a long one cut, its end a
/// SHA-256. Different keys give different names.
std::string directory_name(const VolumeKey& key);

/// Where the volume with that directory_name() is mounted below mounts.root.
std::string mount_path(std::string_view root, std::string_view directory);

}  // namespace uidnfs::plugins
