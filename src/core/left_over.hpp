// SPDX-License-Identifier: Apache-2.0
// What both programs say of a command line of which nobody takes these words.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

namespace uidnfs::core {

/// `arguments` in their order; a flag among them explains the rest. CLI11's own words have them
/// backwards. REQUIRES: not empty.
inline std::string left_over(const std::vector<std::string>& arguments) {
    const auto flag =
        std::find_if(arguments.begin(), arguments.end(), [](const std::string& argument) {
            return argument.starts_with('-');
        });
    if (flag != arguments.end()) return "unknown flag " + *flag;
    return arguments.front() + " is one argument too many";
}

}  // namespace uidnfs::core
