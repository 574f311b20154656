// SPDX-License-Identifier: Apache-2.0
// The one table of keys of uidnfsd.toml: name, value, default, help, and where it goes in Settings.
// Reader, help and man page all read it. Built once, never changed; any thread.
#pragma once

#include "config/option_value.hpp"
#include "plugins/settings/settings.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins {

enum class KeyKind : std::uint8_t {
    boolean,
    number,   ///< a whole number, min..max, in `unit`
    size,     ///< bytes: a whole number or text with K, M, G; min..max
    text,     ///< `check` may say more
    choice,   ///< one of `choices`
    texts,    ///< a list; `check` is asked for each
    choices,  ///< a list of `choices`
    numbers,  ///< a list of whole numbers, min..max each
    options,  ///< a table of mount options
};

/// Whether a value is shown when it is refused.
enum class Shown : std::uint8_t {
    yes,
    no,  ///< it may be a secret that was put into the wrong place
};

struct KeyValue {
    bool flag = false;
    std::uint64_t number = 0;  ///< number, size, choice
    std::string text = {};
    std::vector<std::string> texts = {};
    std::vector<std::uint64_t> numbers = {};  ///< numbers, choices
    OptionSettings options = {};
};

struct KeySpec {
    std::string_view section;  ///< "mounts", "policy.rule"
    std::string_view name;
    KeyKind kind = KeyKind::text;
    std::string_view placeholder = {};  ///< for help: "PATH"
    std::uint64_t min = 0;
    std::uint64_t max = 0;
    std::string_view unit = {};
    std::vector<config::Choice> choices = {};
    /// "why not; what to do" for a text that cannot be used, else empty.
    std::string (*check)(std::string_view) = nullptr;
    Shown shown = Shown::yes;
    bool is_required = false;  ///< where its section is there
    /// Where words say more than the value: "required". Empty: what Settings has.
    std::string_view default_words = {};
    std::string_view help = {};
    std::function<void(Settings&, const KeyValue&)> apply = {};
    std::function<std::string(const Settings&)> show = {};
};

/// A table of the file. Rows of keys name it.
struct SectionSpec {
    std::string_view name;  ///< "plugin.docker"; tables in it have its name before theirs
    std::string_view help;  ///< empty: it only holds other sections
    enum class Times : std::uint8_t { once, many } times = Times::once;
    /// What its mere presence does: [ldap] makes an ldap::Options.
    void (*enter)(Settings&) = nullptr;
};

/// In the order of help and man page.
const std::vector<SectionSpec>& section_table();
const std::vector<KeySpec>& key_table();

/// nullptr when there is none.
const SectionSpec* find_section(std::string_view name);
const KeySpec* find_key(std::string_view section, std::string_view name);

/// The name most like `name` among the keys of `section` and the sections in it ("" for the top);
/// empty when none is.
std::string nearest_name(std::string_view section, std::string_view name);

/// What holds when nobody says anything: "7", "required", "256M"; empty: nothing.
std::string default_text(const KeySpec& key);
/// As it is written: "deadline_seconds = SECONDS", "mode = \"enforce\"|\"report\"".
std::string synopsis(const KeySpec& key);
/// What is allowed: "a whole number from 1 to 60 (seconds)".
std::string describe(const KeySpec& key);

/// All keys by section, for `uidnfsd --help-config`. Ends with a newline.
std::string render_key_help();

}  // namespace uidnfs::plugins
