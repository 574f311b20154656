// SPDX-License-Identifier: Apache-2.0
// What a front that was taken over may ask of the mounter. Each test changes one thing of a mount
// that is allowed.
#include "plugins/mounter/mount_check.hpp"

#include "config/option_table.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace uidnfs::plugins::mounter {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string spelled(const std::vector<config::RawOption>& options) {
    std::string out = " ";
    for (const auto& option : options) {
        out += option.value ? option.name + "=" + *option.value + " " : option.name + " ";
    }
    return out;
}

class MountCheck : public testing::Test {
protected:
    MountCheck() {
        policy::Rule rule;
        rule.sources.push_back(*policy::SharePattern::parse("nas1:/exports/*"));
        rule.uids = {{1000, 1999}};
        rule.gids = {{1000, 1999}};
        allowed.policy.rules.push_back(rule);
    }

    /// With `words` behind what every volume of uid 1001 has.
    core::Outcome<Checked> check(std::vector<std::string> words = {}) {
        std::string text;
        for (const auto& word : {"access=any", "uid=1001", "gid=1001"}) {
            text += std::string(word) + '\0';
        }
        for (const auto& word : words) text += word + '\0';
        return check_words(text);
    }

    core::Outcome<Checked> check_words(std::string_view words) {
        request.options.set(words);
        request.source.set(source);
        request.directory.set(directory);
        return check_request(request, allowed);
    }

    void expect_refused(std::vector<std::string> words, const std::string& why) {
        const auto checked = check(words);
        ASSERT_FALSE(checked) << testing::PrintToString(words);
        EXPECT_THAT(checked.error().user_text, HasSubstr(why));
    }

    void expect_fine(std::vector<std::string> words, const std::string& gets) {
        const auto checked = check(words);
        ASSERT_TRUE(checked) << checked.error().user_text;
        EXPECT_THAT(spelled(checked->options), HasSubstr(" " + gets + " "));
    }

    Allowed allowed;
    Request request;
    std::string source = "nas1:/exports/a";
    std::string directory = "docker-v";
};

TEST_F(MountCheck, TheIdentityAndTheSourceAreWhatTheMountGets) {
    const auto checked = check({"gids=1002:1003", "port=2049", "ro"});
    ASSERT_TRUE(checked) << checked.error().user_text;
    EXPECT_EQ("nas1", checked->source.host);
    EXPECT_EQ("/exports/a", checked->source.export_path);
    EXPECT_EQ(1001u, checked->uid);
    EXPECT_EQ(1001u, checked->gid);
    EXPECT_EQ((std::vector<std::uint32_t>{1002, 1003}), checked->gids);
    EXPECT_EQ(2049, checked->port);
    EXPECT_THAT(spelled(checked->options), HasSubstr(" ro "));
}

TEST_F(MountCheck, TheLaterOfTwoIdentitiesIsTheOneThatIsChecked) {
    const auto checked = check({"uid=1002"});
    ASSERT_TRUE(checked);
    EXPECT_EQ(1002u, checked->uid);
    EXPECT_THAT(spelled(checked->options), Not(HasSubstr("uid=1001 ")));
}

TEST_F(MountCheck, NoOptionOfTheOperatorIsACallersToChange) {
    // A value that differs from the default, for each option that is not column P.
    for (const auto* word :
         {"port=2050",
          "mountport=1",
          "mounthost=127.0.0.1",
          "addr=127.0.0.1",
          "soft",
          "softerr",
          "timeo=1",
          "retrans=0",
          "retry=0",
          "rsize=4096",
          "wsize=4096",
          "nconnect=16",
          "noresvport",
          "acregmin=9",
          "acregmax=9",
          "acdirmin=9",
          "acdirmax=9",
          "actimeo=7",
          "noac",
          "nocto",
          "lookupcache=none",
          "nordirplus",
          "flush_deadline=1",
          "log_level=trace",
          "log_file=/etc/shadow",
          "noexec",
          "noatime",
          "user",
          "users",
          "owner",
          "group",
          "bg",
          "access=strict",
          "access=app",
          "allow_root_identity",
          "identity=caller"}) {
        SCOPED_TRACE(word);
        const auto checked = check({word});
        EXPECT_FALSE(checked);
    }
}

TEST_F(MountCheck, EveryOptionOfTheTableIsACallersOrHasNoEffect) {
    const auto usual = check();
    ASSERT_TRUE(usual);
    for (const auto& option : config::option_table()) {
        if (option.set_by == config::SetBy::callers) continue;
        if (option.name.ends_with("copyup")) continue;  // Docker's volumes have it
        std::vector<std::string> values{"", "=", "=1", "=2049", "=/tmp/x", "=127.0.0.1", "=1M"};
        for (const auto& choice : option.value.choices) {
            values.push_back(fmt::format("={}", choice.word));
        }
        for (const auto& value : values) {
            const auto word = std::string(option.name) + value;
            SCOPED_TRACE(word);
            const auto checked = check({word});
            if (!checked || option.name.starts_with("ac")) continue;
            EXPECT_EQ(spelled(usual->options), spelled(checked->options));
        }
    }
}

TEST_F(MountCheck, WordsWithoutEffectReachNoCommandLine) {
    for (const auto* word :
         {"remount",
          "sloppy",
          "defaults",
          "x-anything=--worker-user=root",
          "comment=x",
          "_netdev",
          "nolock",
          "hard",
          "timeo=600"}) {
        const auto checked = check({word});
        ASSERT_TRUE(checked) << word << ": " << checked.error().user_text;
        EXPECT_EQ(spelled(check()->options), spelled(checked->options)) << word;
    }
}

TEST_F(MountCheck, UnknownWordsAreRefused) {
    for (const auto* word :
         {"worker-user=root",
          "worker_user=root",
          "end-with=1",
          "-o",
          "--uid=0",
          "foreground",
          "ready-fd=3",
          "",
          "=",
          " ro",
          "uid =0",
          "UID=0"}) {
        const auto checked = check({word});
        EXPECT_FALSE(checked) << word;
    }
    EXPECT_FALSE(check({"sloppy", "nonsense"}));
}

TEST_F(MountCheck, CallersMayNotSayPermanentlyRefusedThings) {
    for (const auto* word : {"suid", "dev", "udp", "lock", "username=x", "password=x"}) {
        EXPECT_FALSE(check({word})) << word;
    }
}

TEST_F(MountCheck, OperatorsOptionsComeWithJustTheirValue) {
    allowed.defaults = {{"timeo", "50", {}}, {"soft", {}, {}}};
    expect_fine({"timeo=50", "soft"}, "timeo=50");
    expect_refused({"timeo=51", "soft"}, "timeo");
    expect_refused({"timeo=50", "soft", "hard"}, "hard");
    // Left out is changed as well.
    expect_refused({"soft"}, "timeo");
}

TEST_F(MountCheck, WhatTheOperatorImposesCannotBeLeftOut) {
    allowed.imposed = {{"ro", {}, {}}, {"noexec", {}, {}}};
    expect_fine({"ro", "noexec"}, "ro");
    expect_refused({"noexec"}, "ro");
    expect_refused({"ro"}, "noexec");
    expect_refused({"ro", "noexec", "rw"}, "ro");
    expect_refused({"ro", "noexec", "exec"}, "noexec");
}

TEST_F(MountCheck, AllowedOptionsNarrowWhatCallersMaySet) {
    allowed.callers = {"uid", "gid", "ro"};
    expect_fine({"ro"}, "ro");
    expect_refused({"app_uid=5"}, "app_uid");
    expect_refused({"sync"}, "sync");
    expect_refused({"context=system_u:object_r:tmp_t:s0"}, "context");
}

TEST_F(MountCheck, TheOperatorsBudgetIsACeiling) {
    allowed.defaults = {{"write_behind", "8M", {}}};
    expect_fine({"write_behind=4M"}, "write_behind=4M");
    expect_refused({"write_behind=9M"}, "write_behind");
}

TEST_F(MountCheck, CloudFoundrysFreshAttributesAreFine) {
    expect_fine({"actimeo=0"}, "acregmin=0");
    allowed.imposed = {{"acregmin", "5", {}}};
    expect_refused({"actimeo=0"}, "acregmin");
}

TEST_F(MountCheck, EveryMountHasAnIdentity) {
    for (const auto words :
         {std::string_view("access=any\0", 11),
          std::string_view("access=any\0uid=1001\0", 20),
          std::string_view("access=any\0gid=1001\0", 20),
          std::string_view()}) {
        EXPECT_FALSE(check_words(words));
    }
    EXPECT_FALSE(check_words(std::string_view("access=any\0identity=caller\0", 27)));
    allowed.defaults = {{"identity", "caller", {}}};
    EXPECT_FALSE(check_words(std::string_view("access=any\0identity=caller\0", 27)));
}

TEST_F(MountCheck, RootIsNobodysWithoutTheOperatorsWord) {
    for (const auto* word : {"uid=0", "gid=0", "gids=0", "gids=1002:0"}) {
        EXPECT_FALSE(check({word})) << word;
        EXPECT_FALSE(check({word, "allow_root_identity"})) << word;
    }
    allowed.policy.root_identity = policy::RootIdentity::by_rule;
    const auto checked = check({"uid=0", "allow_root_identity"});
    ASSERT_TRUE(checked) << checked.error().user_text;
    EXPECT_EQ(0u, checked->uid);
    // The rule has the last word.
    const std::vector<policy::Address> addresses{*policy::parse_address("192.0.2.1")};
    EXPECT_FALSE(check_policy(*checked, allowed, addresses));
}

TEST_F(MountCheck, SourcesAreServerAndExport) {
    for (const auto* text :
         {"",
          "nas1",
          "nfs://nas1/exports/a",
          "nfs://nas1/exports/a?uid=0",
          "NFS://nas1/exports/a",
          "--worker-user=root:/exports/a",
          "-o:/exports/a",
          "nas1:exports/a",
          "nas1:/exports/../a",
          "nas1:/exports//a",
          "nas1:/exports/./a",
          "nas1:/exports/a\nb",
          "nas1:/exports/a://b",
          "nas 1:/exports/a",
          "nas1\n:/exports/a",
          "[nas1]:/exports/a",
          "::1:/exports/a",
          "[::1/exports/a"}) {
        source = text;
        EXPECT_FALSE(check()) << text;
    }
    source = std::string("nas1:/exports/a\0b", 17);
    EXPECT_FALSE(check());
}

TEST_F(MountCheck, OddSpellingsAreCheckedAsTheyAreMounted) {
    for (const auto* text : {"nas1:/exports/a/", "[2001:db8::1]:/exports/a", "NAS1:/exports/a"}) {
        source = text;
        const auto checked = check();
        ASSERT_TRUE(checked) << text;
        EXPECT_EQ("/exports/a", checked->source.export_path);
    }
}

TEST_F(MountCheck, NoDirectoryLeadsElsewhere) {
    for (const auto* name : {"", "..", ".", "../x", "a/b", "/etc", ".x", "a b"}) {
        directory = name;
        EXPECT_FALSE(check()) << name;
    }
}

TEST_F(MountCheck, ThePluginIsOneOfOurs) {
    request.plugin = 2;
    EXPECT_FALSE(check());
    request.plugin = 0xffff'ffff;
    EXPECT_FALSE(check());
}

TEST_F(MountCheck, ThePolicyAsksForEachAddressOfTheName) {
    const auto checked = check();
    ASSERT_TRUE(checked);
    const auto ask = [&](std::vector<std::string> texts) {
        std::vector<policy::Address> addresses;
        for (const auto& text : texts) addresses.push_back(*policy::parse_address(text));
        return check_policy(*checked, allowed, addresses).has_value();
    };
    EXPECT_TRUE(ask({"192.0.2.1"}));
    EXPECT_FALSE(ask({"192.0.2.1", "127.0.0.1"}));
    EXPECT_FALSE(ask({"::1"}));
    EXPECT_FALSE(ask({"::ffff:127.0.0.1"}));
    EXPECT_FALSE(ask({}));
}

TEST_F(MountCheck, WhatThePolicyDoesNotAllowIsRefusedWithItsReason) {
    const std::vector<policy::Address> addresses{*policy::parse_address("192.0.2.1")};
    for (const auto& [word, why] :
         {std::pair("uid=5000", "uid 5000"),
          std::pair("gid=5000", "gid 5000"),
          std::pair("gids=1002:5000", "group 5000")}) {
        const auto checked = check({word});
        ASSERT_TRUE(checked);
        const auto decision = check_policy(*checked, allowed, addresses);
        ASSERT_FALSE(decision);
        EXPECT_EQ(EACCES, decision.error().code);
        EXPECT_THAT(decision.error().user_text, HasSubstr(why));
    }
}

}  // namespace
}  // namespace uidnfs::plugins::mounter
