// SPDX-License-Identifier: Apache-2.0
#include "config/help.hpp"

#include "config/option_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

namespace uidnfs::config {
namespace {

constexpr std::size_t kIndent = 2;
constexpr std::size_t kNameColumn = 30;  // help begins here
constexpr std::size_t kLeastColumns = 60;

constexpr std::array<std::pair<Group, std::string_view>, 7> kGroups{{
    {Group::identity, "Identity"},
    {Group::mount, "Mount"},
    {Group::server, "Server (as in nfs(5))"},
    {Group::caches, "Caches (as in nfs(5), times in seconds)"},
    {Group::writing, "Writing"},
    {Group::log, "Log"},
    {Group::generic, "For mount(8) and fstab(5)"},
}};

/// Breaks `text` at blanks; a word that is too long stays whole.
std::vector<std::string> wrap(std::string_view text, std::size_t width) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const auto word = text.substr(0, text.find(' '));
        if (lines.empty() || lines.back().size() + 1 + word.size() > width) {
            lines.emplace_back(word);
        } else {
            lines.back() += fmt::format(" {}", word);
        }
        text.remove_prefix(std::min(word.size() + 1, text.size()));
    }
    return lines;
}

void append_row(
    std::string& out, std::string_view names, std::string_view help, std::size_t columns
) {
    auto line = fmt::format("{:{}}{}", "", kIndent, names);
    if (line.size() + 2 > kNameColumn) {
        out += line + "\n";
        line.clear();
    }
    for (const auto& part : wrap(help, columns - kNameColumn)) {
        out += fmt::format("{:{}}{}\n", line, kNameColumn, part);
        line.clear();
    }
}

std::string names_of(const OptionSpec& option) {
    auto out = synopsis(option, option.name);
    for (const auto alias : option.aliases) out += ", " + synopsis(option, alias);
    return out;
}

std::string help_of(const OptionSpec& option) {
    std::string out(option.help);
    if (option.default_words == "required") {
        out += " (required)";
    } else if (const auto text = default_text(option); text == option.name) {
        out += " (default)";
    } else if (!text.empty()) {
        out += fmt::format(" (default: {})", text);
    }
    const auto& availability = option.availability;
    if (availability.state == Availability::State::later) {
        out += availability.value.empty()
                   ? std::string(" [not available yet]")
                   : fmt::format(" [{}={}: not available yet]", option.name, availability.value);
    }
    return out;
}

}  // namespace

std::string render_option_help(std::size_t columns) {
    columns = std::max(columns, kLeastColumns);
    std::string out;
    for (const auto& [group, title] : kGroups) {
        out += fmt::format("{}{}:\n", out.empty() ? "" : "\n", title);
        // Neighbours with the same help share a row: most of mount(8)'s words have nothing to say.
        std::string names;
        std::string help;
        const auto flush = [&] {
            if (!names.empty()) append_row(out, names, help, columns);
        };
        for (const auto& option : option_table()) {
            if (option.group != group) continue;
            if (option.availability.state == Availability::State::never) continue;
            const auto text = help_of(option);
            if (text == help && names.size() + option.name.size() + 2 + kIndent < columns) {
                names += ", " + names_of(option);
                continue;
            }
            flush();
            names = names_of(option);
            help = text;
        }
        flush();
    }
    return out;
}

}  // namespace uidnfs::config
