// SPDX-License-Identifier: Apache-2.0
// Questions to the table that option_table.hpp declares: by name, by resemblance, as text.
#include "config/joined.hpp"
#include "config/option_table.hpp"
#include "config/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace uidnfs::config {
namespace {

bool is_pattern(std::string_view name) { return name.ends_with('*'); }

bool matches(std::string_view pattern, std::string_view name) {
    if (!is_pattern(pattern)) return pattern == name;
    return name.starts_with(pattern.substr(0, pattern.size() - 1));
}

/// What others call it, where no spelling is near.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kOtherNames{
    {{"groups", "gids"},
     {"mountaddr", "mounthost"},
     {"v3", "vers"},
     {"v4", "vers"},
     {"v4.0", "vers"},
     {"v4.1", "vers"},
     {"v4.2", "vers"}}};

}  // namespace

const OptionSpec* find_option(std::string_view name) {
    for (const auto& option : option_table()) {
        if (matches(option.name, name)) return &option;
        if (std::find(option.aliases.begin(), option.aliases.end(), name) != option.aliases.end()) {
            return &option;
        }
    }
    return nullptr;
}

std::string_view without_blanks(std::string_view name) {
    const auto first = std::min(name.find_first_not_of(" \t"), name.size());
    return name.substr(first, name.find_last_not_of(" \t") + 1 - first);
}

std::string_view without_joined(std::string_view value) {
    constexpr std::string_view kSeparators = " \t;:&,?";
    for (auto at = value.find_first_of(kSeparators); at != std::string_view::npos;
         at = value.find_first_of(kSeparators, at + 1)) {
        const auto rest = value.substr(at + 1);
        const auto equals = rest.find('=');
        if (equals == std::string_view::npos) return value;
        if (find_option(without_blanks(rest.substr(0, equals)))) return value.substr(0, at);
    }
    return value;
}

std::string shown_value(std::string_view value) {
    const auto first = without_joined(value);
    return shown(first) + (first.size() < value.size() ? "..." : "");
}

std::string_view nearest_name(
    std::string_view name, const std::vector<std::string_view>& candidates
) {
    constexpr std::size_t kLongest = 64;  // longer words are not misspelled options
    if (name.size() > kLongest) return {};
    std::string_view nearest;
    std::size_t least = (name.size() + 1) / 2;
    for (const auto candidate : candidates) {
        const auto distance = edit_distance(name, candidate);
        if (distance < least || (distance == least && nearest.empty() && distance <= 1)) {
            least = distance;
            nearest = candidate;
        }
    }
    return nearest;
}

std::string_view nearest_option(std::string_view name) {
    for (const auto& [other, ours] : kOtherNames) {
        if (name == other) return ours;
    }
    return nearest_name(name, option_names());
}

std::vector<std::string_view> option_names() {
    std::vector<std::string_view> names;
    for (const auto& option : option_table()) {
        const bool is_refused = option.availability.state == Availability::State::never &&
                                option.availability.value.empty();
        if (is_refused || is_pattern(option.name)) continue;
        names.push_back(option.name);
        names.insert(names.end(), option.aliases.begin(), option.aliases.end());
    }
    return names;
}

std::string default_text(const OptionSpec& option) {
    if (!option.default_words.empty()) return std::string(option.default_words);
    const auto value = option.show(MountOptions{});
    if (!value) return {};
    return value->empty() ? std::string(option.name) : *value;
}

std::string synopsis(const OptionSpec& option, std::string_view name) {
    if (option.value.kind == Kind::flag || option.value.kind == Kind::anything) {
        return std::string(name);
    }
    if (option.value.kind != Kind::choice) {
        return fmt::format("{}={}", name, option.value.placeholder);
    }
    std::string words;
    const Choice* before = nullptr;
    for (const auto& choice : option.value.choices) {
        // A second word for the same thing is understood, not advertised.
        if (before && before->number == choice.number) continue;
        words += fmt::format("{}{}", words.empty() ? "" : "|", choice.word);
        before = &choice;
    }
    return fmt::format("{}={}", name, words);
}

}  // namespace uidnfs::config
