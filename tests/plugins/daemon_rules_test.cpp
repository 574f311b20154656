// SPDX-License-Identifier: Apache-2.0
// From the configuration to what the front and what the mounter go by: both must say the same, or a
// mount that the one takes is refused by the other.
#include "plugins/daemon/rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace uidnfs::plugins {
namespace {

OptionSettings option(const std::string& name, std::optional<std::string> value = {}) {
    return {{name, config::RawOption{name, std::move(value), "mounts"}}};
}

using testing::HasSubstr;

class DaemonRules : public testing::Test {
protected:
    DaemonRules() {
        settings.mounts.defaults = option("timeo", "50");
        settings.mounts.fixed = option("noexec");
        settings.mounts.forced = option("ro");
        policy::Rule rule;
        rule.sources.push_back(*policy::SharePattern::parse("nas1:/exports/*"));
        rule.uids = {{1000, 1999}};
        rule.gids = {{1000, 1999}};
        settings.policy.rules.push_back(rule);
    }

    /// What the front makes of a volume, as the mounter gets it.
    core::Outcome<mounter::Checked> ask(
        std::vector<Word> options, Dialect dialect = Dialect::docker
    ) {
        const auto checked = front(std::move(options), dialect);
        if (!checked) return checked.error();
        const auto spec = make_spec({dialect, "v"}, *checked, {});
        if (!spec) return spec.error();
        mounter::Request request;
        EXPECT_TRUE(request.directory.set(spec->directory));
        EXPECT_TRUE(request.source.set(spec->source));
        std::string words;
        for (const auto& each : spec->options) {
            words += each.value ? each.name + "=" + *each.value : each.name;
            words += '\0';
        }
        EXPECT_TRUE(request.options.set(words));
        return mounter::check_request(request, allowed_of(settings));
    }

    core::Outcome<VolumeOptions> front(std::vector<Word> options, Dialect dialect) {
        options.insert(options.end(), {{"uid", "1001"}, {"gid", "1001"}, {"source", source}});
        const auto definition = make_definition(dialect, std::move(options));
        return check_options(*definition, dialect, rules_of(settings));
    }

    void expect_both_take(std::vector<Word> options, Dialect dialect = Dialect::docker) {
        const auto taken = ask(options, dialect);
        EXPECT_TRUE(taken) << taken.error().user_text;
    }

    static std::string spelled(const mounter::Checked& checked) {
        std::string out = " ";
        for (const auto& each : checked.options) {
            out += each.value ? each.name + "=" + *each.value + " " : each.name + " ";
        }
        return out;
    }

    Settings settings;
    std::string source = "nas1:/exports/a";
};

TEST_F(DaemonRules, TheOperatorsOptionsGoAlong) {
    const auto taken = ask({});
    ASSERT_TRUE(taken) << taken.error().user_text;
    for (const auto* word : {" timeo=50 ", " noexec ", " ro ", " access=any "}) {
        EXPECT_THAT(spelled(*taken), HasSubstr(word));
    }
}

TEST_F(DaemonRules, WhatTheFrontTakesTheMounterTakes) {
    expect_both_take({{"app_uid", "5"}, {"present", "mapped"}});
    expect_both_take({{"sync", ""}, {"commit", "behind"}, {"write_behind", "1M"}});
    expect_both_take({{"context", "system_u:object_r:nfs_t:s0"}});
    // What changes nothing may be said, in compose files it often is.
    expect_both_take({{"hard", ""}, {"timeo", "50"}, {"nolock", "true"}, {"vers", "3"}});
    expect_both_take({{"o", "hard,nolock,timeo=50"}, {"tcp", ""}});
    expect_both_take({{"ro", "false"}});  // forced: the operator's value
    expect_both_take({{"readonly", "true"}}, Dialect::cloudfoundry);
    expect_both_take({{"cache", "true"}, {"version", "3"}}, Dialect::cloudfoundry);
    expect_both_take({}, Dialect::cloudfoundry);
    source = "nfs://nas1/exports/a?app_uid=5";
    expect_both_take({});
}

TEST_F(DaemonRules, ARootIdentityThatTheOperatorAllowsPassesBoth) {
    settings.policy.root_identity = policy::RootIdentity::by_rule;
    expect_both_take({});
    const auto taken = ask({{"gids", "0"}});
    EXPECT_TRUE(taken) << taken.error().user_text;
}

TEST_F(DaemonRules, NarrowedOptionsAreNarrowForBoth) {
    settings.mounts.allowed_options = {"uid", "gid", "app_uid"};
    expect_both_take({{"app_uid", "5"}});
    EXPECT_FALSE(front({{"app_gid", "5"}}, Dialect::docker));
    EXPECT_EQ(settings.mounts.allowed_options, allowed_of(settings).callers);
}

TEST_F(DaemonRules, TheMounterHasThePolicyAndTheLimit) {
    settings.workers.max_mounts = 7;
    const auto allowed = allowed_of(settings);
    EXPECT_EQ(7u, allowed.max_mounts);
    EXPECT_EQ(1u, allowed.policy.rules.size());
    ASSERT_EQ(1u, allowed.defaults.size());
    EXPECT_EQ("timeo", allowed.defaults[0].name);
    ASSERT_EQ(2u, allowed.imposed.size());
    EXPECT_EQ("noexec", allowed.imposed[0].name);
    EXPECT_EQ("ro", allowed.imposed[1].name);
}

TEST_F(DaemonRules, TheIdentitysSourceIsThePolicys) {
    using Identity = OptionRules::Identity;
    for (const auto& [policy, rules] :
         {std::pair(policy::RequiredIdentity::declared, Identity::declared),
          std::pair(policy::RequiredIdentity::ldap, Identity::directory),
          std::pair(policy::RequiredIdentity::either, Identity::either)}) {
        settings.policy.identity = policy;
        EXPECT_EQ(rules, rules_of(settings).identity);
    }
}

}  // namespace
}  // namespace uidnfs::plugins
