// SPDX-License-Identifier: Apache-2.0
// From the text of uidnfsd.toml to Settings, with every problem at once. Pure: it opens no file.
#pragma once

#include "plugins/settings/problem.hpp"
#include "plugins/settings/settings.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins {

/// Settings that are not yet known to be good, and where their keys stand.
struct Draft {
    std::string file;
    Settings settings = {};
    std::map<std::string, std::uint32_t> lines = {};  ///< "policy.rule[1].uids" -> line
    std::vector<Problem> problems = {};
    std::vector<std::string> warnings = {};

    bool has(const std::string& key) const { return lines.count(key) != 0; }
    /// A problem of `key`, at its line, or at that of the nearest section around it.
    void add(std::string key, std::string found, std::string allowed);
};

/// What one key alone can be wrong about. `file` is its name in messages.
Draft read_settings(std::string_view text, std::string file);

/// What keys have against each other. To be called once, when the draft is complete.
void check_settings(Draft& draft);

}  // namespace uidnfs::plugins
