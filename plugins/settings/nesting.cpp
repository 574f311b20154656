// SPDX-License-Identifier: Apache-2.0
#include "plugins/settings/nesting.hpp"

namespace uidnfs::plugins {
namespace {

/// The end of the string that begins at `at` (a quote), and how many lines it spans.
std::size_t skip_string(std::string_view text, std::size_t at, std::uint32_t& line) noexcept {
    const char quote = text[at];
    const bool basic = quote == '"';
    const std::string_view three = basic ? R"(""")" : "'''";
    const bool multiline = text.substr(at).starts_with(three);
    at += multiline ? three.size() : 1;
    while (at < text.size()) {
        if (text[at] == '\n') {
            if (!multiline) return at;  // no TOML; the parser says so
            ++line;
        } else if (basic && text[at] == '\\' && at + 1 < text.size() && text[at + 1] != '\n') {
            ++at;
        } else if (multiline ? text.substr(at).starts_with(three) : text[at] == quote) {
            return at + (multiline ? three.size() : 1);
        }
        ++at;
    }
    return at;
}

}  // namespace

std::optional<std::uint32_t> find_deep_line(std::string_view text) noexcept {
    std::uint32_t line = 1;
    std::uint32_t dots = 0;
    for (std::size_t at = 0; at < text.size();) {
        switch (text[at]) {
            case '\n':
                ++line;
                dots = 0;
                ++at;
                break;
            case '#':
                at = text.find('\n', at);
                if (at == std::string_view::npos) return std::nullopt;
                break;
            case '"':
            case '\'': at = skip_string(text, at, line); break;
            case '.':
                if (++dots > kMostDots) return line;
                ++at;
                break;
            default: ++at;
        }
    }
    return std::nullopt;
}

}  // namespace uidnfs::plugins
