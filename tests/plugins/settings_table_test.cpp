// SPDX-License-Identifier: Apache-2.0
// The table of keys agrees with itself.
#include "plugins/settings/key_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace uidnfs::plugins {
namespace {

using testing::HasSubstr;

TEST(SettingsTable, NamesAreUnique) {
    std::set<std::string> seen;
    for (const auto& key : key_table()) {
        const auto name = std::string(key.section) + "." + std::string(key.name);
        EXPECT_TRUE(seen.insert(name).second) << name;
        EXPECT_EQ(nullptr, find_section(name)) << name;
    }
    EXPECT_GT(seen.size(), 60u);
}

TEST(SettingsTable, EveryKeyIsInASection) {
    for (const auto& key : key_table()) {
        ASSERT_NE(nullptr, find_section(key.section)) << key.section;
        EXPECT_EQ(&key, find_key(key.section, key.name));
    }
}

TEST(SettingsTable, EveryRowIsComplete) {
    for (const auto& key : key_table()) {
        EXPECT_TRUE(key.apply) << key.name;
        EXPECT_TRUE(key.show) << key.name;
        EXPECT_FALSE(key.help.empty()) << key.name;
        EXPECT_FALSE(default_text(key).empty()) << key.section << "." << key.name;
        const bool is_number = key.kind == KeyKind::number || key.kind == KeyKind::size ||
                               key.kind == KeyKind::numbers;
        EXPECT_EQ(is_number, key.max != 0) << key.name;
        EXPECT_LE(key.min, key.max) << key.name;
        const bool has_words = key.kind == KeyKind::choice || key.kind == KeyKind::choices;
        EXPECT_EQ(has_words, !key.choices.empty()) << key.name;
        const bool is_text = key.kind == KeyKind::text || key.kind == KeyKind::texts;
        EXPECT_EQ(is_text, key.check != nullptr) << key.name;
    }
}

TEST(SettingsTable, DefaultsAreWhatTheStructsSay) {
    const auto text = [](std::string_view section, std::string_view name) {
        return default_text(*find_key(section, name));
    };
    EXPECT_EQ("\"/var/lib/uidnfs/volumes\"", text("mounts", "root"));
    EXPECT_EQ("7", text("mounts", "deadline_seconds"));
    EXPECT_EQ("\"256M\"", text("workers", "memory_limit"));
    EXPECT_EQ("\"enforce\"", text("policy", "mode"));
    EXPECT_EQ("false", text("policy", "allow_root_identity"));
    EXPECT_EQ("[2049]", text("policy.rule", "ports"));
    EXPECT_EQ("required", text("policy.rule", "uids"));
    EXPECT_EQ("300", text("ldap", "cache_seconds"));
    EXPECT_EQ("\"report\"", text("ldap", "recheck_action"));
    EXPECT_EQ("\"uidNumber\"", text("ldap.attributes", "uid"));
    EXPECT_EQ("\"127.0.0.1:7589\"", text("plugin.cloudfoundry", "listen"));
    EXPECT_EQ("\"continue\"", text("audit", "when_unwritable"));
}

TEST(SettingsTable, WritesKeysAsTheFileHasThem) {
    const auto text = [](std::string_view section, std::string_view name) {
        return synopsis(*find_key(section, name));
    };
    EXPECT_EQ("root = \"PATH\"", text("mounts", "root"));
    EXPECT_EQ("defaults = { OPTION = VALUE, ... }", text("mounts", "defaults"));
    EXPECT_EQ("deadline_seconds = SECONDS", text("mounts", "deadline_seconds"));
    EXPECT_EQ("mode = \"enforce\"|\"report\"", text("policy", "mode"));
    EXPECT_EQ("plugins = [\"docker\"|\"cloudfoundry\", ...]", text("policy.rule", "plugins"));
    EXPECT_EQ("ports = [N, ...]", text("policy.rule", "ports"));
    EXPECT_EQ("start_tls = true|false", text("ldap", "start_tls"));
}

TEST(SettingsTable, HelpHasEveryKey) {
    const auto help = render_key_help();
    EXPECT_THAT(help, HasSubstr("[[policy.rule]]"));
    for (const auto& key : key_table()) {
        EXPECT_THAT(help, HasSubstr("\n  " + synopsis(key) + "\n      " + std::string(key.help)));
    }
}

}  // namespace
}  // namespace uidnfs::plugins
