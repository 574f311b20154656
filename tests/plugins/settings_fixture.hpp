// SPDX-License-Identifier: Apache-2.0
// Two-word helpers of the configuration tests: a text in, settings or problems out.
#pragma once

#include "plugins/settings/reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins {

inline constexpr std::string_view kRule = R"(
[[policy.rule]]
sources = ["nas1:/exports/*"]
uids = ["1000-1999"]
gids = ["1000-1999"]
)";

inline constexpr std::string_view kLdap = R"(
[ldap]
urls = ["ldaps://ldap1.example.com"]
user_base = "ou=people,dc=example,dc=com"
)";

inline Draft checked(std::string_view text) {
    auto draft = read_settings(text, "uidnfsd.toml");
    if (!draft.settings.bind_password_file.empty()) {
        draft.settings.ldap->bind_password = core::Secret("what the file holds");
    }
    check_settings(draft);
    return draft;
}

inline std::vector<std::string> texts(const std::vector<Problem>& problems) {
    std::vector<std::string> out;
    for (const auto& problem : problems) out.push_back(to_text(problem));
    return out;
}

inline std::vector<std::string> problems(std::string_view text) {
    return texts(checked(text).problems);
}

/// The settings of a text without problems.
inline Settings settings(std::string_view text) {
    auto draft = checked(text);
    for (const auto& each : texts(draft.problems)) ADD_FAILURE() << each;
    return std::move(draft.settings);
}

/// The one problem of a text; what is before the key is cut off.
inline std::string problem(std::string_view text) {
    const auto found = problems(text);
    if (found.size() != 1) {
        return "not one problem but: " + testing::PrintToString(found);
    }
    return found.front();
}

inline std::string joined(std::string_view first, std::string_view second) {
    return std::string(first) + std::string(second);
}

}  // namespace uidnfs::plugins
