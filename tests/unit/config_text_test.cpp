// SPDX-License-Identifier: Apache-2.0
// What may be shown, and how far two words are apart.
#include "config/text.hpp"

#include <gtest/gtest.h>

#include <string>

namespace uidnfs::config {
namespace {

TEST(ShownTest, ControlCharactersAreSpelled) {
    EXPECT_EQ("a\\x00b\\x1b\\x7f\\x0a", shown(std::string_view("a\0b\x1b\x7f\n", 6)));
    EXPECT_EQ("gr\xc3\xbc\xc3\x9f", shown("gr\xc3\xbc\xc3\x9f"));
}

TEST(ShownTest, LongTextIsCut) {
    EXPECT_EQ(std::string(80, 'a'), shown(std::string(80, 'a')));
    EXPECT_EQ(std::string(80, 'a') + "...", shown(std::string(81, 'a')));
    EXPECT_EQ("ab...", shown("abc", 2));
}

TEST(ShownTest, ControlCharactersAreFound) {
    EXPECT_TRUE(has_control_characters(std::string_view("a\0", 2)));
    EXPECT_TRUE(has_control_characters("\x7f"));
    EXPECT_FALSE(has_control_characters("a b\xff"));
}

TEST(EditDistanceTest, CountsEachKindOfChange) {
    EXPECT_EQ(0u, edit_distance("timeo", "timeo"));
    EXPECT_EQ(1u, edit_distance("timeo", "timo"));
    EXPECT_EQ(1u, edit_distance("timeo", "timeoo"));
    EXPECT_EQ(1u, edit_distance("timeo", "tameo"));
    EXPECT_EQ(1u, edit_distance("timeo", "timoe"));
    EXPECT_EQ(3u, edit_distance("kitten", "sitting"));
    EXPECT_EQ(2u, edit_distance("uid", "duix"));
}

TEST(EditDistanceTest, EmptyWords) {
    EXPECT_EQ(0u, edit_distance("", ""));
    EXPECT_EQ(3u, edit_distance("uid", ""));
    EXPECT_EQ(3u, edit_distance("", "uid"));
}

TEST(EditDistanceTest, CaseAndDashesAreNoDifference) {
    EXPECT_EQ(0u, edit_distance("APP-UID", "app_uid"));
}

TEST(ShownTest, IsUtf8) {
    EXPECT_EQ("\u00e9t\u00e9", shown("\u00e9t\u00e9"));
    EXPECT_EQ(
        "a\\xb0b",
        shown("a\xb0"
              "b")
    );
    EXPECT_EQ("\\xc3", shown("\xc3"));
    // No part of a character is left over.
    EXPECT_EQ("\u00e9...", shown("\u00e9\u00e9", 3));
    EXPECT_EQ("\u00e9\u00e9", shown("\u00e9\u00e9", 4));
}

}  // namespace
}  // namespace uidnfs::config
