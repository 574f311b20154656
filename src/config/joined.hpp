// SPDX-License-Identifier: Apache-2.0
// Options that somebody wrote without a comma between them. Pure function.
#pragma once

#include <string_view>

namespace uidnfs::config {

/// The value up to what begins another option: "1001" of "1001 gid=1001" or "1001;gid=1001". The
/// rest may be a password, and is not shown.
std::string_view without_joined(std::string_view value);

}  // namespace uidnfs::config
