// SPDX-License-Identifier: Apache-2.0
// The option table as text for `uidnfs mount --help`.
#pragma once

#include <cstddef>
#include <string>

namespace uidnfs::config {

/// All options that can be used or are planned, by group, names in one column and help in another,
/// each line at most `columns` wide (at least 60). Ends with a newline.
std::string render_option_help(std::size_t columns = 96);

}  // namespace uidnfs::config
