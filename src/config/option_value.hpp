// SPDX-License-Identifier: Apache-2.0
// ValueRule: what may stand behind the '=' of an option, and Value: what stood there. Pure.
#pragma once

#include "core/error.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::config {

enum class Kind : std::uint8_t {
    flag,       ///< no value
    number,     ///< decimal, min..max, in `unit`
    size,       ///< bytes, or with K, M, G (powers of 1024), min..max
    choice,     ///< one of `choices`
    ids,        ///< decimal ids separated by ':'
    text,       ///< not empty, no control characters
    path,       ///< an absolute path
    host,       ///< a host name or an address
    addresses,  ///< IPv4 and IPv6 addresses separated by '+'
    anything,   ///< a value or none; nobody looks at it
};

struct Choice {
    std::string_view word;
    std::uint64_t number;  ///< of the enumerator that it stands for
};

struct ValueRule {
    Kind kind = Kind::flag;
    std::string_view placeholder = {};  ///< for help: "N", "SECONDS"; empty for flags and choices
    std::uint64_t min = 0;
    std::uint64_t max = 0;
    std::string_view unit = {};  ///< "seconds", "tenths of a second"; empty: a count or an id
    std::vector<Choice> choices = {};
    /// Why other words than `choices` are refused; empty: because they are unknown.
    std::string_view why_not = {};
};

struct Value {
    std::uint64_t number = 0;  ///< number, size, choice
    std::string text = {};     ///< text, path, host, addresses
    std::vector<std::uint32_t> ids = {};
};

/// What is allowed, for "use ...": "a number from 1 to 16", "all or mapped".
std::string describe(const ValueRule& rule);

/// What stood behind `name`; `found` is absent when there was no '='. On failure the text is the
/// end of a message, "why not; what to do", without the option and its value.
core::Outcome<Value> parse_value(
    std::string_view name, const ValueRule& rule, const std::optional<std::string>& found
);

/// Bytes as somebody would write them: "64M", "1500".
std::string show_size(std::uint64_t bytes);

}  // namespace uidnfs::config
