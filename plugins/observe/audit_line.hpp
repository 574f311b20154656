// SPDX-License-Identifier: Apache-2.0
// The text of one line of the audit: a JSON object whose names are those of docs/OPERATING.md.
// Pure.
#pragma once

#include "plugins/core/mounter.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <string>
#include <string_view>

namespace uidnfs::plugins {

using WallTime = std::chrono::system_clock::time_point;

/// What a volume's name tells of its platform; empty what it does not.
struct NameParts {
    std::string instance = {};   ///< Cloud Foundry: GUID of the service instance
    std::string container = {};  ///< Cloud Foundry: GUID of the container
};
/// Cloud Foundry names volumes "INSTANCE-HASH_CONTAINER"; Docker's names are the user's.
NameParts split_name(const VolumeKey& volume);

/// "version", "time" and "event", then `fields`; without newline. Bytes that are not UTF-8 become
/// U+FFFD, texts longer than 32 KiB are cut.
std::string audit_line(std::string_view event, WallTime time, const boost::json::object& fields);

/// "plugin", "volume" and what its name tells.
void add_volume(boost::json::object& fields, const VolumeKey& volume);
/// Nothing where nobody was named yet.
void add_identity(boost::json::object& fields, const MountIdentity& identity);
/// Left out when empty.
void add_text(boost::json::object& fields, std::string_view name, std::string_view value);

/// Everything that a decision knows.
boost::json::object audit_fields(const Decision& decision);

}  // namespace uidnfs::plugins
