// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/support.hpp"

#include <gtest/gtest.h>

#include <string>

namespace uidnfs::plugins {
namespace {

TEST(Support, SecretsOfTomlAreRemoved) {
    EXPECT_EQ(
        "bind_password_file = \"(removed)\" # note\nurls = [\"ldaps://a\"]\n",
        redact("bind_password_file = \"/etc/x\\\"y\" # note\nurls = [\"ldaps://a\"]\n")
    );
    EXPECT_EQ("bind_dn = [ \"(removed)\" ]", redact("bind_dn = [ \"cn=a\" ]"));
    EXPECT_EQ("user_filter = \"(uid=a)\"", redact("user_filter = \"(uid=a)\""));
}

TEST(Support, SecretsOfJsonAreRemoved) {
    const std::string text = R"x({"user":"jane","uid":1001,"password": "s\"ecret"})x";
    EXPECT_EQ(R"x({"user":"(removed)","uid":1001,"password": "(removed)"})x", redact(text));
}

TEST(Support, TextThatEndsAnywhereIsNoTrouble) {
    const char* const texts[]{"password", "password =", "password = \"", "password = \"secret\\"};
    for (const std::string text : texts) {
        EXPECT_EQ(std::string::npos, redact(text).find("secret")) << text;
    }
    EXPECT_EQ("", redact(""));
}

}  // namespace
}  // namespace uidnfs::plugins
