// SPDX-License-Identifier: Apache-2.0
// Options that somebody wrote with blanks, or without a comma between them. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace uidnfs::config {

/// "gid" of " gid", as in "uid=1, gid=1".
std::string_view without_blanks(std::string_view name);

/// The value up to what begins another option: "1001" of "1001 gid=1001" or "1001;gid=1001". The
/// rest may be a password, and is not shown.
std::string_view without_joined(std::string_view value);

/// That as text for messages; "..." stands for the rest.
std::string shown_value(std::string_view value);

}  // namespace uidnfs::config
