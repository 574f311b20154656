// SPDX-License-Identifier: Apache-2.0
#include "plugins/settings/key_checks.hpp"

#include "config/option_table.hpp"
#include "config/text.hpp"
#include "plugins/policy/policy.hpp"

#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>

namespace uidnfs::plugins::checks {
namespace {

bool is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '-' || c == '_';
}

constexpr std::string_view kUseListen = "use ADDRESS:PORT, as \"127.0.0.1:7589\" or \"[::1]:7589\"";

}  // namespace

std::string maybe_text(std::string_view text) {
    // TOML lets NUL through as \u0000; nothing that a text here goes to does.
    if (config::has_control_characters(text)) return "it has control characters; leave them out";
    return {};
}

std::string any_text(std::string_view text) {
    return text.empty() ? "it is empty; give it a value or leave the key out" : maybe_text(text);
}

std::string path(std::string_view text) {
    if (!text.starts_with('/')) return "it is no absolute path; begin it with '/'";
    if (text.size() > 4095) return "it is longer than a path can be; use a shorter one";
    for (std::size_t begin = 1; begin < text.size();) {
        const auto end = std::min(text.find('/', begin), text.size());
        const auto part = text.substr(begin, end - begin);
        if (part.empty() || part == "." || part == "..") {
            return "\"//\", \".\" and \"..\" are refused; write the path without them";
        }
        begin = end + 1;
    }
    return maybe_text(text);
}

std::string socket_path(std::string_view text) {
    if (text.size() >= sizeof(sockaddr_un::sun_path)) {
        return "it is longer than the path of a socket can be (107 bytes); use a shorter one";
    }
    return path(text);
}

std::string maybe_path(std::string_view text) { return text.empty() ? "" : path(text); }

std::string destination(std::string_view text) {
    if (text == "journal") return {};
    return path(text).empty() ? "" : "use \"journal\" or an absolute path";
}

std::optional<Listen> parse_listen(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    auto host = text.substr(0, colon);
    const auto digits = text.substr(colon + 1);
    const bool is_bracketed = host.starts_with('[') && host.ends_with(']');
    if (is_bracketed) host = host.substr(1, host.size() - 2);
    const auto address = policy::parse_address(host);
    const bool has_colon = host.find(':') != std::string_view::npos;
    if (!address || has_colon != is_bracketed) return std::nullopt;
    std::uint16_t port = 0;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (status != std::errc{} || end != digits.data() + digits.size() || port == 0) {
        return std::nullopt;
    }
    return Listen{std::string(host), port};
}

std::string listen(std::string_view text) {
    return parse_listen(text) ? "" : fmt::format("not an address and a port; {}", kUseListen);
}

std::string maybe_listen(std::string_view text) { return text.empty() ? "" : listen(text); }

std::string file_name(std::string_view text) {
    const bool is_fine = !text.empty() && text.size() <= 200 && text.front() != '.' &&
                         std::all_of(text.begin(), text.end(), is_word);
    return is_fine ? "" : "not a name; use letters, digits, '.', '-' and '_'";
}

std::string user(std::string_view text) {
    const bool is_fine = !text.empty() && text.size() <= 32 && text.front() != '-' &&
                         std::all_of(text.begin(), text.end(), is_word);
    return is_fine ? "" : "not the name of a user; use one that useradd(8) would take";
}

std::string id_range(std::string_view text) {
    const auto range = policy::parse_range(text);
    return range ? "" : range.error().user_text;
}

std::string source(std::string_view text) {
    const auto pattern = policy::SharePattern::parse(text);
    return pattern ? "" : pattern.error().user_text;
}

std::string callers_option(std::string_view text) {
    const auto* option = config::find_option(text);
    if (!option || option->availability.state == config::Availability::State::never) {
        const auto nearest = config::nearest_option(text);
        return nearest.empty() ? "no such mount option; see uidnfs mount --help"
                               : fmt::format("no such mount option; did you mean \"{}\"?", nearest);
    }
    if (option->set_by == config::SetBy::callers) return {};
    return "callers may not set it in any case; leave it out";
}

}  // namespace uidnfs::plugins::checks
