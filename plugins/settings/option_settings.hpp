// SPDX-License-Identifier: Apache-2.0
// Mount options in TOML: sync = false is the option async, timeo = 600 is timeo=600. They go
// through the one option table (src/config). Pure.
#pragma once

#include "plugins/settings/settings.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace uidnfs::plugins {

/// What stood behind the '=' of one option. Whole numbers come as the text of their digits, lists
/// of them as "1:2:3".
using OptionValue = std::variant<bool, std::string>;

struct OptionOutcome {
    OptionSetting setting = {};
    std::string problem = {};  ///< "why not; what to do"; empty: none
    bool is_shown = true;      ///< whether the value may be told with it
};

/// `where`: for messages, "uidnfsd.toml:12".
OptionOutcome read_option(std::string_view name, const OptionValue& value, std::string_view where);

/// What the options of one table have against each other, as find_contradictions() of config says
/// it; a missing identity is none.
std::vector<std::string> find_contradictions(const OptionSettings& options);

/// Whether `a` and `b` are names of options that decide the same thing: "sync" and "async".
bool decide_the_same(std::string_view a, std::string_view b);

}  // namespace uidnfs::plugins
