// SPDX-License-Identifier: Apache-2.0
#include "config/option_value.hpp"

#include "config/source.hpp"
#include "config/text.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <limits>
#include <utility>

namespace uidnfs::config {
namespace {

constexpr std::uint64_t kMaxId = 0xffff'fffe;  // (uid_t)-1 is nobody's id
constexpr std::array<std::pair<char, int>, 3> kSuffixes{{{'G', 30}, {'M', 20}, {'K', 10}}};

core::Failure refuse(const ValueRule& rule, std::string_view why) {
    return {EINVAL, fmt::format("{}; use {}", why, describe(rule))};
}

enum class Digits { fine, none, negative, leading_zero, overflow };

/// Decimal digits and nothing else. A leading zero is refused: elsewhere it means octal.
Digits read_decimal(std::string_view text, std::uint64_t& number) {
    if (text.starts_with('-') && text.size() > 1) return Digits::negative;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (status == std::errc::invalid_argument || end != text.data() + text.size()) {
        return Digits::none;
    }
    if (status == std::errc::result_out_of_range) return Digits::overflow;
    return text.size() > 1 && text.front() == '0' ? Digits::leading_zero : Digits::fine;
}

using Number = core::Outcome<std::uint64_t>;

Number read_number(
    const ValueRule& rule, std::string_view text, std::uint64_t min, std::uint64_t max
) {
    std::uint64_t number = 0;
    switch (read_decimal(text, number)) {
        case Digits::none: return refuse(rule, "not a number");
        case Digits::negative: return refuse(rule, "negative");
        case Digits::leading_zero: return refuse(rule, "a leading zero could mean octal");
        case Digits::overflow: return refuse(rule, "too large");
        case Digits::fine: break;
    }
    if (number < min) return refuse(rule, "too small");
    if (number > max) return refuse(rule, "too large");
    return Number(boost::system::in_place_value, number);
}

core::Outcome<Value> read_size(const ValueRule& rule, std::string_view text) {
    int shift = 0;
    for (const auto& [letter, bits] : kSuffixes) {
        if (text.empty() || (text.back() != letter && text.back() != letter - 'A' + 'a')) continue;
        shift = bits;
        text.remove_suffix(1);
        break;
    }
    const auto limit = std::numeric_limits<std::uint64_t>::max() >> shift;
    const auto count = read_number(rule, text, 0, limit);
    if (!count) return count.error();
    const auto bytes = *count << shift;
    if (bytes < rule.min) return refuse(rule, "too small");
    if (bytes > rule.max) return refuse(rule, "too large");
    return Value{.number = bytes};
}

core::Outcome<Value> read_choice(
    std::string_view name, const ValueRule& rule, std::string_view text
) {
    for (const auto& choice : rule.choices) {
        if (choice.word == text) return Value{.number = choice.number};
    }
    const auto why = rule.why_not.empty() ? "unknown value" : rule.why_not;
    if (rule.choices.size() != 1) return refuse(rule, why);
    return core::Failure{
        EINVAL, fmt::format("{}; use {}={}", why, name, rule.choices.front().word)};
}

core::Outcome<Value> read_ids(const ValueRule& rule, std::string_view text) {
    Value value;
    while (true) {
        const auto colon = text.find(':');
        const auto item = text.substr(0, colon);
        if (item.empty()) return refuse(rule, "an id is missing between the colons");
        const auto id = read_number(rule, item, 0, kMaxId);
        if (!id) {
            return core::Failure{
                EINVAL, fmt::format("{}: {}", shown(item, 24), id.error().user_text)};
        }
        value.ids.push_back(static_cast<std::uint32_t>(*id));
        if (colon == std::string_view::npos) return value;
        text.remove_prefix(colon + 1);
    }
}

/// inet_pton(3), an IPv6 one also with a zone.
bool is_address(std::string_view text) {
    std::array<unsigned char, 16> bytes{};
    const std::string whole(text);
    if (::inet_pton(AF_INET, whole.c_str(), bytes.data()) == 1) return true;
    const std::string without_zone = whole.substr(0, whole.find('%'));
    return ::inet_pton(AF_INET6, without_zone.c_str(), bytes.data()) == 1;
}

bool are_addresses(std::string_view text) {
    for (;;) {
        const auto plus = text.find('+');
        if (!is_address(text.substr(0, plus))) return false;
        if (plus == std::string_view::npos) return true;
        text.remove_prefix(plus + 1);
    }
}

core::Outcome<Value> read_text(const ValueRule& rule, const std::string& text) {
    if (has_control_characters(text)) return refuse(rule, "it has control characters");
    if (rule.kind == Kind::path && !text.starts_with('/')) {
        return refuse(rule, "a relative path changes its meaning in the background");
    }
    if (rule.kind == Kind::host && !is_host(text)) {
        return refuse(rule, "not a host name or address");
    }
    if (rule.kind == Kind::addresses && !are_addresses(text)) {
        return refuse(rule, "not an address");
    }
    return Value{.text = text};
}

}  // namespace

std::string describe(const ValueRule& rule) {
    switch (rule.kind) {
        case Kind::flag: return "no value";
        case Kind::number:
            return fmt::format(
                "a number from {} to {}{}{}{}",
                rule.min,
                rule.max,
                rule.unit.empty() ? "" : " (",
                rule.unit,
                rule.unit.empty() ? "" : ")"
            );
        case Kind::size:
            return fmt::format(
                "a number of bytes from {} to {} (K, M and G are understood)",
                show_size(rule.min),
                show_size(rule.max)
            );
        case Kind::choice: {
            std::string out;
            for (std::size_t i = 0; i < rule.choices.size(); ++i) {
                if (i > 0) out += i + 1 == rule.choices.size() ? " or " : ", ";
                out += rule.choices[i].word;
            }
            return out;
        }
        case Kind::ids: return "ids from 1 to 4294967294 separated by colons, at most 16";
        case Kind::text: return "text";
        case Kind::path: return "an absolute path";
        case Kind::host: return "a host name or an address";
        case Kind::addresses: return "addresses separated by '+'";
        case Kind::anything: return "any value";
    }
    return {};
}

core::Outcome<Value> parse_value(
    std::string_view name, const ValueRule& rule, const std::optional<std::string>& found
) {
    if (rule.kind == Kind::anything) return Value{};
    if (rule.kind == Kind::flag) {
        if (found)
            return core::Failure{EINVAL, "it takes no value; leave out the '=' and the rest"};
        return Value{};
    }
    if (!found || found->empty()) return refuse(rule, "it needs a value");
    switch (rule.kind) {
        case Kind::number: {
            const auto number = read_number(rule, *found, rule.min, rule.max);
            if (!number) return number.error();
            return Value{.number = *number};
        }
        case Kind::size: return read_size(rule, *found);
        case Kind::choice: return read_choice(name, rule, *found);
        case Kind::ids: return read_ids(rule, *found);
        case Kind::text:
        case Kind::path:
        case Kind::host:
        case Kind::addresses: return read_text(rule, *found);
        case Kind::flag:
        case Kind::anything: break;
    }
    return Value{};
}

std::string show_size(std::uint64_t bytes) {
    for (const auto& [letter, bits] : kSuffixes) {
        const auto unit = std::uint64_t{1} << bits;
        if (bytes >= unit && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, letter);
    }
    return fmt::format("{}", bytes);
}

}  // namespace uidnfs::config
