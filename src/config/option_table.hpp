// SPDX-License-Identifier: Apache-2.0
// The one table of mount options: name, value, default, help, who may set it, and where it goes in
// MountOptions. Parser, help, man page and status all read it. Built once, never changed; any
// thread.
#pragma once

#include "config/mount_options.hpp"
#include "config/option_value.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::config {

enum class Group : std::uint8_t { identity, mount, server, caches, writing, log, generic };

/// Column P of the interface: what a caller of the daemon may set, or only the operator.
enum class SetBy : std::uint8_t { operators, callers };

/// Whether an option can be used. Changing this one attribute is all it takes to let one in.
struct Availability {
    enum class State : std::uint8_t {
        now,
        later,  ///< planned: shown in help, refused by name until it lands
        never,  ///< known from elsewhere: refused by name, not shown
    };
    State state = State::now;
    std::string_view value = {};    ///< the one value concerned; empty: the whole option
    std::string_view refusal = {};  ///< "why not; what to do"
};

/// Whether `mount -o remount` can change it.
enum class Live : std::uint8_t { fixed, changes };

struct OptionSpec {
    std::string_view name;  ///< "x-*": everything that begins with "x-"
    std::vector<std::string_view> aliases = {};
    Group group = Group::generic;
    SetBy set_by = SetBy::operators;
    Live live = Live::fixed;
    ValueRule value = {};
    /// Where words say more than the value: "required". Empty: MountOptions' own, see
    /// default_text().
    std::string_view default_words = {};
    std::string_view help = {};
    Availability availability = {};
    void (*apply)(MountOptions&, const Value&) = nullptr;
    /// The canonical value while the option is in effect ("" for a flag), else nothing.
    std::optional<std::string> (*show)(const MountOptions&) = nullptr;
};

/// All options, in the order of help and man page.
const std::vector<OptionSpec>& option_table();

/// By name or alias, exactly as written; nullptr when there is none.
const OptionSpec* find_option(std::string_view name);

/// The one of `candidates` most like `name`; empty when none is (half of it or more would have to
/// change).
std::string_view nearest_name(
    std::string_view name, const std::vector<std::string_view>& candidates
);

/// nearest_name() among those of option_names().
std::string_view nearest_option(std::string_view name);

/// Names and aliases that can be used now or later, without patterns such as "x-*"; for completion.
std::vector<std::string_view> option_names();

/// What holds when nobody says anything: "600", "hard" for the flag hard, empty for the flag soft.
std::string default_text(const OptionSpec& option);

/// As it is written: "uid=N", "present=all|mapped", "ro".
std::string synopsis(const OptionSpec& option, std::string_view name);

}  // namespace uidnfs::config
