// SPDX-License-Identifier: Apache-2.0
// Names from the network never become paths unescaped.
#include "plugins/core/volume_key.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>

namespace uidnfs::plugins {
namespace {

using namespace std::string_literals;

std::string directory_of(std::string name) {
    return directory_name({Dialect::docker, std::move(name)});
}

TEST(VolumeKey, plain_names_stay_readable) {
    EXPECT_EQ(directory_of("web-1_data.v2=x"), "docker-web-1_data.v2=x");
    EXPECT_EQ(directory_name({Dialect::cloudfoundry, "a"}), "cloudfoundry-a");
}

TEST(VolumeKey, bytes_with_a_meaning_in_paths_are_escaped) {
    EXPECT_EQ(directory_of("/"), "docker-%2F");
    EXPECT_EQ(directory_of("a/../b"), "docker-a%2F..%2Fb");
    EXPECT_EQ(directory_of("a\0b"s), "docker-a%00b");
    EXPECT_EQ(directory_of("%2F"), "docker-%252F");
    EXPECT_EQ(directory_of("\xc3\xa4"), "docker-%C3%A4");
    EXPECT_EQ(directory_of("a\nb"), "docker-a%0Ab");
    EXPECT_EQ(directory_of(".."), "docker-..");
    EXPECT_EQ(directory_of(""), "docker-");
}

TEST(VolumeKey, long_names_are_cut_and_stay_different) {
    const std::string prefix(300, 'x');
    EXPECT_LE(directory_of(prefix).size(), 200u);
    EXPECT_NE(directory_of(prefix + "a"), directory_of(prefix + "b"));
    // A short name cannot be spelled like the directory of a long one.
    const auto cut = directory_of(prefix).substr(std::string("docker-").size());
    EXPECT_NE(directory_of(cut), directory_of(prefix));
}

TEST(VolumeKey, any_bytes_give_one_safe_component) {
    std::mt19937 random(20);
    std::set<std::string> names;
    std::set<std::string> directories;
    for (int i = 0; i < 5000; ++i) {
        std::string name(random() % 400, '\0');
        for (auto& c : name)
            c = static_cast<char>(random() % 4 == 0 ? "./%~"[random() % 4] : random());
        const auto directory = directory_of(name);
        ASSERT_TRUE(std::all_of(directory.begin(), directory.end(), [](char c) {
            return std::isalnum(static_cast<unsigned char>(c)) ||
                   std::string_view("_=.~%-").find(c) != std::string_view::npos;
        })) << directory;
        ASSERT_LE(directory.size(), 200u);
        ASSERT_TRUE(directory.starts_with("docker-"));
        names.insert(name);
        directories.insert(directory);
    }
    EXPECT_EQ(names.size(), directories.size());
}

TEST(VolumeKey, names_that_platforms_may_use) {
    for (const auto& name :
         {"a"s,
          "web_data-1.2"s,
          "3f0e=a_b1"s,
          "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"s,
          "with space"s,
          ".hidden"s,
          std::string(255, 'x')}) {
        EXPECT_TRUE(is_volume_name(name)) << name;
    }
}

TEST(VolumeKey, names_that_are_refused) {
    for (const auto& name :
         {""s,
          "."s,
          ".."s,
          "a..b"s,
          "../etc"s,
          "a/b"s,
          "a\\b"s,
          "a\0b"s,
          "a\nb"s,
          "a\x7f"s,
          std::string(256, 'x'),
          "\xff"s,
          "\xc0\xaf"s,          // '/', overlong
          "\xe0\x80\xaf"s,      // the same
          "\xed\xa0\x80"s,      // a surrogate
          "\xf4\x90\x80\x80"s,  // above U+10FFFF
          "\xc3"s,
          "\xf0\x9f\x98"s}) {
        EXPECT_FALSE(is_volume_name(name)) << name;
    }
}

}  // namespace
}  // namespace uidnfs::plugins
