// SPDX-License-Identifier: Apache-2.0
// Questions to the table that key_table.hpp declares: by name, by resemblance, as text.
#include "config/text.hpp"
#include "plugins/settings/key_table.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace uidnfs::plugins {
namespace {

/// With every section there is, so that each key has a default to show.
const Settings& defaults() {
    static const auto settings = [] {
        Settings all;
        for (const auto& section : section_table()) {
            if (section.enter) section.enter(all);
        }
        return all;
    }();
    return settings;
}

std::string words(const KeySpec& key) {
    std::string out;
    for (const auto& choice : key.choices) {
        out += fmt::format("{}\"{}\"", out.empty() ? "" : "|", choice.word);
    }
    return out;
}

std::string range(const KeySpec& key) {
    return fmt::format(
        "from {} to {}{}{}{}",
        key.min,
        key.max,
        key.unit.empty() ? "" : " (",
        key.unit,
        key.unit.empty() ? "" : ")"
    );
}

}  // namespace

const SectionSpec* find_section(std::string_view name) {
    const auto& table = section_table();
    const auto found = std::find_if(table.begin(), table.end(), [&](const auto& section) {
        return section.name == name;
    });
    return found == table.end() ? nullptr : &*found;
}

const KeySpec* find_key(std::string_view section, std::string_view name) {
    for (const auto& key : key_table()) {
        if (key.section == section && key.name == name) return &key;
    }
    return nullptr;
}

std::string nearest_name(std::string_view section, std::string_view name) {
    constexpr std::size_t kLongest = 64;  // longer words are not misspelled keys
    if (name.size() > kLongest) return {};
    std::string nearest;
    std::size_t least = (name.size() + 1) / 2;
    const auto consider = [&](std::string_view candidate) {
        const auto distance = config::edit_distance(name, candidate);
        if (distance < least || (distance == least && nearest.empty() && distance <= 1)) {
            least = distance;
            nearest = candidate;
        }
    };
    for (const auto& key : key_table()) {
        if (key.section == section) consider(key.name);
    }
    const auto prefix = section.empty() ? std::string() : fmt::format("{}.", section);
    for (const auto& each : section_table()) {
        if (!each.name.starts_with(prefix)) continue;
        const auto rest = each.name.substr(prefix.size());
        if (rest.find('.') == std::string_view::npos) consider(rest);
    }
    return nearest;
}

std::string default_text(const KeySpec& key) {
    if (!key.default_words.empty()) return std::string(key.default_words);
    return key.show(defaults());
}

std::string synopsis(const KeySpec& key) {
    const auto value = [&]() -> std::string {
        switch (key.kind) {
            case KeyKind::boolean: return "true|false";
            case KeyKind::number: return std::string(key.placeholder);
            case KeyKind::size:
            case KeyKind::text: return fmt::format("\"{}\"", key.placeholder);
            case KeyKind::choice: return words(key);
            case KeyKind::texts: return fmt::format("[\"{}\", ...]", key.placeholder);
            case KeyKind::choices: return fmt::format("[{}, ...]", words(key));
            case KeyKind::numbers: return fmt::format("[{}, ...]", key.placeholder);
            case KeyKind::options: return "{ OPTION = VALUE, ... }";
        }
        return {};
    };
    return fmt::format("{} = {}", key.name, value());
}

std::string describe(const KeySpec& key) {
    switch (key.kind) {
        case KeyKind::boolean: return "true or false";
        case KeyKind::number: return fmt::format("a whole number {}", range(key));
        case KeyKind::size:
            return fmt::format(
                "a number of bytes from {0} to {1}, as {2} or \"{0}\" (with K, M or G)",
                config::show_size(key.min),
                config::show_size(key.max),
                key.min
            );
        case KeyKind::text: return fmt::format("a text, \"{}\"", key.placeholder);
        case KeyKind::choice: return words(key);
        case KeyKind::texts: return fmt::format("a list of texts, [\"{}\", ...]", key.placeholder);
        case KeyKind::choices: return fmt::format("a list of {}", words(key));
        case KeyKind::numbers: return fmt::format("a list of whole numbers {}", range(key));
        case KeyKind::options: return "a table of mount options, { hard = true, timeo = 600 }";
    }
    return {};
}

std::string render_key_help() {
    std::string out;
    for (const auto& section : section_table()) {
        if (section.help.empty()) continue;
        const bool is_many = section.times == SectionSpec::Times::many;
        out += fmt::format(
            "{}{}{}{}   # {}\n",
            out.empty() ? "" : "\n",
            is_many ? "[[" : "[",
            section.name,
            is_many ? "]]" : "]",
            section.help
        );
        for (const auto& key : key_table()) {
            if (key.section != section.name) continue;
            const auto text = default_text(key);
            out += fmt::format("  {}\n      {}", synopsis(key), key.help);
            out += text.empty() ? "\n" : fmt::format(" (default: {})\n", text);
        }
    }
    return out;
}

}  // namespace uidnfs::plugins
