// SPDX-License-Identifier: Apache-2.0
// The JSON of volume drivers, as lenient as their clients need: no content type, empty bodies,
// numbers and booleans for strings, unknown fields. Pure; bodies come from the network (fuzzed).
#pragma once

#include "core/error.hpp"
#include "plugins/core/volume_options.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins {

/// The body of any of the nine calls.
struct DriverCall {
    std::string name;                   ///< "" where there was none
    std::string id;                     ///< of Docker's Mount and Unmount
    std::vector<Word> words;            ///< Opts; numbers and booleans as text, null left out
    std::vector<std::string> problems;  ///< options that are neither
};

/// EINVAL, without repeating the body, when it is no JSON object or "Name" is no text. Wipes
/// `body`: it may hold a password.
core::Outcome<DriverCall> parse_call(std::string& body);

/// `text` as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

/// {"Err":"..."}
std::string error_body(std::string_view error);

}  // namespace uidnfs::plugins
