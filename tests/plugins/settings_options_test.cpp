// SPDX-License-Identifier: Apache-2.0
// Mount options as TOML has them.
#include "plugins/settings/option_settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uidnfs::plugins {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// "name=value", "name", "nothing", or the problem.
std::string read(std::string_view name, OptionValue value) {
    const auto outcome = read_option(name, value, "here");
    if (!outcome.problem.empty()) return outcome.problem;
    if (!outcome.setting.option) return "nothing";
    const auto& option = *outcome.setting.option;
    EXPECT_EQ("here", option.where);
    return option.name + (option.value ? "=" + *option.value : "");
}

TEST(SettingsOptions, TrueIsTheFlag) {
    EXPECT_EQ("hard", read("hard", true));
    EXPECT_EQ("noac", read("noac", true));
}

TEST(SettingsOptions, FalseIsTheOppositeFlag) {
    EXPECT_EQ("async", read("sync", false));
    EXPECT_EQ("sync", read("async", false));
    EXPECT_EQ("rw", read("ro", false));
    EXPECT_EQ("noac", read("ac", false));
    EXPECT_EQ("ac", read("noac", false));
    EXPECT_EQ("noresvport", read("resvport", false));
    EXPECT_EQ("exec", read("noexec", false));
    EXPECT_EQ("nothing", read("allow_root_identity", false));
}

TEST(SettingsOptions, FalseWithoutOneOppositeIsRefused) {
    EXPECT_EQ(
        "it has more than one opposite; write soft = true or softerr = true", read("hard", false)
    );
    EXPECT_THAT(read("nolock", false), HasSubstr("cannot be false"));
    EXPECT_THAT(read("exec", false), HasSubstr("cannot be false"));
}

TEST(SettingsOptions, ValuesGoThroughTheOptionTable) {
    EXPECT_EQ("timeo=600", read("timeo", "600"));
    EXPECT_EQ("gids=5:6", read("gids", "5:6"));
    EXPECT_EQ("vers=3", read("nfsvers", "3"));
    EXPECT_THAT(read("timeo", "0"), HasSubstr("too small"));
    EXPECT_THAT(read("vers", "4"), HasSubstr("only NFS version 3"));
    EXPECT_THAT(read("timeo", true), HasSubstr("it is not true or false; use a number"));
    EXPECT_THAT(read("timeo", false), HasSubstr("it is not true or false; use a number"));
    EXPECT_THAT(read("hard", "yes"), HasSubstr("it takes no value"));
}

TEST(SettingsOptions, WhatTheTableRefusesIsRefused) {
    EXPECT_THAT(read("udp", true), HasSubstr("only TCP"));
    EXPECT_THAT(read("permissions", "kernel"), HasSubstr("not available yet"));
    EXPECT_THAT(read("lock", false), HasSubstr("use nolock"));
    EXPECT_THAT(read("tmieo", "1"), HasSubstr("did you mean \"timeo\"?"));
    EXPECT_FALSE(read_option("password", "x", "here").is_shown);
    EXPECT_FALSE(read_option("tmieo", "x", "here").is_shown);
    EXPECT_TRUE(read_option("timeo", "x", "here").is_shown);
}

TEST(SettingsOptions, WhatWouldHaveNoEffectForVolumesIsRefused) {
    for (const auto* name : {"bg", "remount"}) {
        EXPECT_THAT(read(name, true), HasSubstr("within deadline_seconds or not at all")) << name;
    }
    EXPECT_THAT(read("retry", "5"), HasSubstr("within deadline_seconds or not at all"));
    EXPECT_EQ("fg", read("bg", false));
    EXPECT_EQ("fg", read("fg", true));
}

TEST(SettingsOptions, KnowsWhatDecidesTheSame) {
    EXPECT_TRUE(decide_the_same("sync", "async"));
    EXPECT_TRUE(decide_the_same("async", "sync"));
    EXPECT_TRUE(decide_the_same("vers", "nfsvers"));
    EXPECT_TRUE(decide_the_same("timeo", "timeo"));
    EXPECT_TRUE(decide_the_same("hard", "softerr"));
    EXPECT_FALSE(decide_the_same("sync", "ro"));
    EXPECT_FALSE(decide_the_same("rsize", "wsize"));
    EXPECT_FALSE(decide_the_same("zzz", "zzz"));
}

TEST(SettingsOptions, FindsContradictions) {
    const auto find = [](std::vector<std::pair<std::string, OptionValue>> list) {
        OptionSettings options;
        for (const auto& [name, value] : list) {
            options.push_back(read_option(name, value, "here").setting);
        }
        return find_contradictions(options);
    };
    EXPECT_THAT(find({{"hard", true}, {"timeo", "600"}, {"sync", false}}), ElementsAre());
    EXPECT_THAT(find({{"ro", true}, {"rw", true}}), ElementsAre(HasSubstr("ro and rw")));
    EXPECT_THAT(find({{"ac", false}, {"ac", true}}), ElementsAre(HasSubstr("contradict")));
    EXPECT_THAT(find({{"gids", "0"}}), ElementsAre(HasSubstr("group 0 in the list is root")));
}

}  // namespace
}  // namespace uidnfs::plugins
