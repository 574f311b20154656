// SPDX-License-Identifier: Apache-2.0
// What the rows of key_table.cpp and of its sections' files (*_keys.cpp) are made of: each function
// here makes a KeySpec that goes to one member of Settings, named once for both directions by
// `ref`, a function from Settings& to it. Used there only.
#pragma once

#include "config/option_value.hpp"
#include "plugins/settings/key_table.hpp"

#include <fmt/format.h>

#include <chrono>
#include <initializer_list>
#include <type_traits>
#include <utility>
#include <vector>

namespace uidnfs::plugins::rows {

using S = Settings;  // for the short functions that name a member

template <class Ref>
using MemberOf = std::remove_reference_t<std::invoke_result_t<Ref, Settings&>>;

/// The table reads a default that Settings keeps: `ref` changes nothing then.
template <class Ref>
decltype(auto) member(Ref ref, const Settings& settings) {
    return std::as_const(ref(const_cast<Settings&>(settings)));
}

inline std::string quoted(std::string_view text) { return fmt::format("\"{}\"", text); }

template <class Ref>
KeySpec boolean(std::string_view name, Ref ref, std::string_view help) {
    return {
        .name = name,
        .kind = KeyKind::boolean,
        .help = help,
        .apply = [ref](Settings& settings, const KeyValue& value) { ref(settings) = value.flag; },
        .show = [ref](const Settings& settings) -> std::string {
            return member(ref, settings) ? "true" : "false";
        },
    };
}

struct Range {
    std::uint64_t min;
    std::uint64_t max;
    std::string_view unit = {};
    std::string_view placeholder = "N";
};

template <class Ref>
KeySpec number(std::string_view name, Ref ref, Range range, std::string_view help) {
    return {
        .name = name,
        .kind = KeyKind::number,
        .placeholder = range.placeholder,
        .min = range.min,
        .max = range.max,
        .unit = range.unit,
        .help = help,
        .apply = [ref](
                     Settings& settings, const KeyValue& value
                 ) { ref(settings) = static_cast<MemberOf<Ref>>(value.number); },
        .show = [ref](const Settings& settings
                ) { return fmt::format("{}", member(ref, settings)); },
    };
}

/// Whole seconds that are kept as ldap::Duration.
template <class Ref>
KeySpec seconds(
    std::string_view name, Ref ref, std::uint64_t min, std::uint64_t max, std::string_view help
) {
    return {
        .name = name,
        .kind = KeyKind::number,
        .placeholder = "SECONDS",
        .min = min,
        .max = max,
        .unit = "seconds",
        .help = help,
        .apply = [ref](
                     Settings& settings, const KeyValue& value
                 ) { ref(settings) = std::chrono::seconds(value.number); },
        .show =
            [ref](const Settings& settings) {
                const auto time = member(ref, settings);
                return fmt::format(
                    "{}", std::chrono::duration_cast<std::chrono::seconds>(time).count()
                );
            },
    };
}

template <class Ref>
KeySpec size(
    std::string_view name, Ref ref, std::uint64_t min, std::uint64_t max, std::string_view help
) {
    auto row = number(name, ref, {min, max, {}, "SIZE"}, help);
    row.kind = KeyKind::size;
    row.show = [ref](const Settings& settings) {
        return quoted(config::show_size(member(ref, settings)));
    };
    return row;
}

template <class Ref>
KeySpec text(
    std::string_view name,
    std::string_view placeholder,
    Ref ref,
    std::string (*check)(std::string_view),
    std::string_view help
) {
    return {
        .name = name,
        .kind = KeyKind::text,
        .placeholder = placeholder,
        .check = check,
        .help = help,
        .apply = [ref](Settings& settings, const KeyValue& value) { ref(settings) = value.text; },
        .show = [ref](const Settings& settings) -> std::string {
            const auto& text = member(ref, settings);
            return text.empty() ? "" : quoted(text);
        },
    };
}

template <class Ref>
KeySpec choice(
    std::string_view name, Ref ref, std::vector<config::Choice> words, std::string_view help
) {
    return {
        .name = name,
        .kind = KeyKind::choice,
        .choices = words,
        .help = help,
        .apply = [ref](
                     Settings& settings, const KeyValue& value
                 ) { ref(settings) = static_cast<MemberOf<Ref>>(value.number); },
        .show = [ref, words](const Settings& settings) -> std::string {
            for (const auto& each : words) {
                if (each.number == static_cast<std::uint64_t>(member(ref, settings))) {
                    return quoted(each.word);
                }
            }
            return {};
        },
    };
}

/// A list that `convert` turns into what Settings keeps; `show` is up to default_words.
template <class Convert>
KeySpec texts(
    std::string_view name,
    std::string_view placeholder,
    std::string (*check)(std::string_view),
    Convert convert,
    std::string_view help
) {
    return {
        .name = name,
        .kind = KeyKind::texts,
        .placeholder = placeholder,
        .check = check,
        .help = help,
        .apply = convert,
        .show = [](const Settings&) { return std::string(); },
    };
}

template <class Ref>
KeySpec options(std::string_view name, Ref ref, std::string_view help) {
    return {
        .name = name,
        .kind = KeyKind::options,
        .help = help,
        .apply =
            [ref](Settings& settings, const KeyValue& value) { ref(settings) = value.options; },
        .show = [](const Settings&) { return std::string(); },
    };
}

template <class Enum>
constexpr std::uint64_t number_of(Enum value) {
    return static_cast<std::uint64_t>(value);
}

template <class Enum>
std::vector<config::Choice> words_of(std::initializer_list<Enum> values) {
    std::vector<config::Choice> words;
    for (const auto value : values) words.push_back({to_string(value), number_of(value)});
    return words;
}

/// Gathers the rows, in the order of help and man page.
class Builder {
public:
    /// The section of what is added from now on.
    void in(std::string_view section) { section_ = section; }

    KeySpec& add(KeySpec row) {
        row.section = section_;
        return rows_.emplace_back(std::move(row));
    }

    std::vector<KeySpec> take() { return std::move(rows_); }

private:
    std::string_view section_;
    std::vector<KeySpec> rows_;
};

void add_policy(Builder& table);
void add_ldap(Builder& table);
void add_docker(Builder& table);
void add_cloudfoundry(Builder& table);

}  // namespace uidnfs::plugins::rows
