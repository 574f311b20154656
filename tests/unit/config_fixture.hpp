// SPDX-License-Identifier: Apache-2.0
// Two-word helpers of the option tests: one way in, and what came out of it.
#pragma once

#include "config/mount_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <string_view>

namespace uidnfs::config {

inline constexpr std::string_view kSource = "nas1:/exports/a";

/// -o `text` on kSource.
inline core::Outcome<MountRequest> parse(std::string_view text) {
    return parse_mount_request(kSource, split_option_string(text, "-o"));
}

/// With an identity, so that `text` is all that can be wrong.
inline core::Outcome<MountRequest> with(std::string text) {
    return parse("uid=1001,gid=1001," + text);
}

/// The options, or a failed test and the defaults.
inline MountOptions options(const core::Outcome<MountRequest>& outcome) {
    if (outcome) return outcome->options;
    ADD_FAILURE() << outcome.error().user_text;
    return {};
}

/// The text of the one error behind "cannot mount nas1:/exports/a: ".
inline std::string refusal(const core::Outcome<MountRequest>& outcome) {
    if (outcome) return "(no error)";
    EXPECT_EQ(EINVAL, outcome.error().code);
    constexpr std::string_view kBegin = "cannot mount nas1:/exports/a: ";
    const auto& text = outcome.error().user_text;
    EXPECT_TRUE(text.starts_with(kBegin)) << text;
    EXPECT_EQ(std::string::npos, text.find('\n')) << text;
    return text.substr(std::min(kBegin.size(), text.size()));
}

/// Value of an effective option, "(flag)" for a flag, "(none)" when it is not in effect.
inline std::string effective(const core::Outcome<MountRequest>& outcome, std::string_view name) {
    if (!outcome) return outcome.error().user_text;
    for (const auto& [key, value] : outcome->effective) {
        if (key == name) return value.empty() ? "(flag)" : value;
    }
    return "(none)";
}

}  // namespace uidnfs::config
