// SPDX-License-Identifier: Apache-2.0
// The text of state files: JSON with a version. Pure.
#pragma once

#include "core/error.hpp"
#include "plugins/core/definition.hpp"
#include "plugins/core/live_record.hpp"

#include <cerrno>
#include <string>
#include <string_view>

namespace uidnfs::plugins {

struct StoredDefinition {
    VolumeKey key;
    DefinitionPtr definition;
};
struct StoredRecord {
    VolumeKey key;
    LiveRecord record;
};

/// Without the password; that there was one is kept.
std::string to_json(const VolumeKey& key, const Definition& definition);
std::string to_json(const VolumeKey& key, const LiveRecord& record);

/// A failure's code for a file that a newer uidnfsd wrote.
inline constexpr int kNewerVersion = EPROTONOSUPPORT;
/// EINVAL or kNewerVersion with the reason, for a message that names the file. Unknown fields are
/// ignored, missing ones and other versions are errors.
core::Outcome<StoredDefinition> parse_definition(std::string_view text);
core::Outcome<StoredRecord> parse_live(std::string_view text);

}  // namespace uidnfs::plugins
