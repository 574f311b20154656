// SPDX-License-Identifier: Apache-2.0
// decide(): one mount against the rules. Each test changes one thing of a mount that is allowed.
#include "plugins/policy/policy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uidnfs::plugins::policy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Verdict = Decision::Verdict;

class PolicyRules : public testing::Test {
protected:
    PolicyRules() { policy.rules.push_back(rule({"nas1:/exports/*"})); }

    static Rule rule(std::vector<std::string> sources) {
        Rule made;
        for (const auto& source : sources) made.sources.push_back(*SharePattern::parse(source));
        made.uids = {{1000, 1999}};
        made.gids = {{1000, 1999}, {5000, 5000}};
        return made;
    }

    static std::vector<Address> resolved(std::vector<std::string> texts) {
        std::vector<Address> out;
        for (const auto& text : texts) out.push_back(*parse_address(text));
        return out;
    }

    Decision ask() {
        request.addresses = addresses;
        request.groups = groups;
        return decide(policy, request);
    }

    Reason refusal() {
        const auto decision = ask();
        EXPECT_EQ(Verdict::refused, decision.verdict) << decision.text;
        EXPECT_FALSE(decision.may_mount());
        EXPECT_FALSE(decision.text.empty());
        return decision.reason;
    }

    void expect_allowed(std::size_t by = 1) {
        const auto decision = ask();
        EXPECT_EQ(Verdict::allowed, decision.verdict) << decision.text;
        EXPECT_EQ(by, decision.rule);
    }

    Policy policy;
    std::vector<Address> addresses = resolved({"192.0.2.2"});
    std::vector<std::uint32_t> groups = {};
    Request request{.host = "nas1", .path = "/exports/a", .uid = 1001, .gid = 1001};
};

TEST_F(PolicyRules, AllowsWhatOneRuleDescribes) {
    expect_allowed();
    EXPECT_EQ("allowed by rule 1", ask().text);
}

TEST_F(PolicyRules, NamesTheRule) {
    policy.rules[0].name = "team-a";
    EXPECT_EQ("allowed by rule 1 (team-a)", ask().text);
    request.uid = 500;
    EXPECT_EQ(
        "no rule allows it, and rule 1 (team-a) does not because uid 500 is not among 1000-1999; "
        "change the mount or the policy",
        ask().text
    );
}

TEST_F(PolicyRules, NothingIsAllowedWithoutRules) {
    policy.rules.clear();
    EXPECT_EQ(Reason::no_rule, refusal());
}

TEST_F(PolicyRules, OneRuleMustAllowAllOfIt) {
    // The first has the share, the second the user.
    policy.rules.push_back(rule({"nas2:/exports/*"}));
    policy.rules[1].uids = {{3000, 3000}};
    request.uid = 3000;
    EXPECT_EQ(Reason::uid, refusal());
    EXPECT_EQ(1u, ask().rule);
    request.host = "nas2";
    expect_allowed(2);
}

TEST_F(PolicyRules, TellsTheRuleThatCameFarthest) {
    policy.rules.insert(policy.rules.begin(), rule({"other:/x"}));
    policy.rules.push_back(rule({"third:/x"}));
    groups = {42};
    EXPECT_EQ(Reason::group, refusal());
    EXPECT_EQ(2u, ask().rule);
}

TEST_F(PolicyRules, EveryIdMustBeInARange) {
    request.uid = 999;
    EXPECT_EQ(Reason::uid, refusal());
    request.uid = 1001;
    request.gid = 2000;
    EXPECT_EQ(Reason::gid, refusal());
    request.gid = 5000;
    groups = {1000, 1999, 5000};
    expect_allowed();
    groups.push_back(27);
    EXPECT_EQ(Reason::group, refusal());
    EXPECT_THAT(ask().text, HasSubstr("group 27 is not among 1000-1999, 5000"));
}

TEST_F(PolicyRules, RootIsRefusedWhateverTheRulesSay) {
    for (const auto source : {IdentitySource::declared, IdentitySource::ldap}) {
        policy.identity = RequiredIdentity::either;
        policy.rules[0].uids = policy.rules[0].gids = {{0, 4000}};
        request.identity_source = source;
        request.uid = 0;
        EXPECT_EQ(Reason::root_identity, refusal());
        request.uid = 1001;
        request.gid = 0;
        EXPECT_EQ(Reason::root_identity, refusal());
        request.gid = 1001;
        groups = {1001, 0};
        EXPECT_EQ(Reason::root_identity, refusal());
        groups = {};
    }
}

TEST_F(PolicyRules, RootNeedsTheSwitchAndARule) {
    policy.root_identity = RootIdentity::by_rule;
    request.uid = 0;
    EXPECT_EQ(Reason::uid, refusal());
    policy.rules[0].uids.push_back({0, 0});
    expect_allowed();
}

TEST_F(PolicyRules, NobodysIdIsNeverAllowed) {
    policy.rules[0].uids = policy.rules[0].gids = {{1, 0xffff'ffff}};
    request.uid = 0xffff'ffff;
    EXPECT_EQ(Reason::no_id, refusal());
    request.uid = 1;
    groups = {0xffff'ffff};
    EXPECT_EQ(Reason::no_id, refusal());
}

TEST_F(PolicyRules, DeclaringAnIdentityIsNoWayAroundTheDirectory) {
    policy.identity = RequiredIdentity::ldap;
    EXPECT_EQ(Reason::identity_source, refusal());
    EXPECT_THAT(ask().text, HasSubstr("give username and password"));
    request.identity_source = IdentitySource::ldap;
    expect_allowed();
}

TEST_F(PolicyRules, DeclaredAndEither) {
    policy.identity = RequiredIdentity::declared;
    request.identity_source = IdentitySource::ldap;
    EXPECT_EQ(Reason::identity_source, refusal());
    policy.identity = RequiredIdentity::either;
    expect_allowed();
    request.identity_source = IdentitySource::declared;
    expect_allowed();
}

TEST_F(PolicyRules, PluginsAsListed) {
    request.plugin = Plugin::cloudfoundry;
    expect_allowed();
    policy.rules[0].plugins = {Plugin::docker};
    EXPECT_EQ(Reason::plugin, refusal());
    request.plugin = Plugin::docker;
    expect_allowed();
}

TEST_F(PolicyRules, PortsAsListed) {
    request.port = 20049;
    EXPECT_EQ(Reason::port, refusal());
    policy.rules[0].ports = {2049, 20049};
    expect_allowed();
}

TEST_F(PolicyRules, SharesAreComparedInOneSpelling) {
    request.host = "NAS1.";
    request.path = "/exports/a/";
    expect_allowed();
    request.path = "/exports/b/c";
    EXPECT_EQ(Reason::source, refusal());
    request.path = "/exports/../exports/a";
    EXPECT_EQ(Reason::share, refusal());
    request.path = "/exports//a";
    EXPECT_EQ(Reason::share, refusal());
}

TEST_F(PolicyRules, LoopbackOnlyByName) {
    addresses = resolved({"127.0.0.1"});
    EXPECT_EQ(Reason::address, refusal());
    EXPECT_THAT(ask().text, HasSubstr("nas1 leads to 127.0.0.1, a loopback address"));
    policy.rules[0] = rule({"nas1:/exports/*", "*:/exports/*"});
    EXPECT_EQ(Reason::address, refusal());
    policy.rules[0] = rule({"nas1:/exports/*", "127.0.0.1:/exports/*"});
    expect_allowed();
    policy.rules[0] = rule({"nas1:/exports/*", "127.0.0.1:/other/*"});
    EXPECT_EQ(Reason::address, refusal());
}

TEST_F(PolicyRules, EveryResolvedAddressCounts) {
    for (const auto* special :
         {"127.0.0.53", "::1", "::", "0.0.0.0", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1"}) {
        addresses = resolved({"192.0.2.2", special});
        EXPECT_EQ(Reason::address, refusal()) << special;
    }
    addresses = {};
    EXPECT_EQ(Reason::no_address, refusal());
}

TEST_F(PolicyRules, AnAddressIsItself) {
    policy.rules[0] = rule({"192.0.2.2:/exports/*"});
    request.host = "::ffff:192.0.2.2";
    expect_allowed();
    // What was resolved is not what was written: whoever asks is confused or lies.
    addresses = resolved({"192.0.2.3"});
    EXPECT_EQ(Reason::no_address, refusal());
}

TEST_F(PolicyRules, LocalhostIsNamedByItself) {
    policy.rules[0] = rule({"localhost:/exports/*"});
    request.host = "localhost";
    addresses = resolved({"127.0.0.1", "::1"});
    expect_allowed();
}

TEST_F(PolicyRules, ReportLetsPassWhatARuleCouldAllow) {
    policy.mode = Mode::report;
    expect_allowed();
    request.uid = 500;
    auto decision = ask();
    EXPECT_EQ(Verdict::reported, decision.verdict);
    EXPECT_TRUE(decision.may_mount());
    EXPECT_EQ(Reason::uid, decision.reason);
    EXPECT_EQ(1u, decision.rule);
    policy.identity = RequiredIdentity::ldap;
    EXPECT_EQ(Verdict::reported, ask().verdict);
}

TEST_F(PolicyRules, ReportNeverLetsRootOrNonsensePass) {
    policy.mode = Mode::report;
    request.uid = 0;
    EXPECT_EQ(Reason::root_identity, refusal());
    request.uid = 1001;
    request.path = "/a/..";
    EXPECT_EQ(Reason::share, refusal());
    request.path = "/exports/a";
    addresses = {};
    EXPECT_EQ(Reason::no_address, refusal());
}

TEST_F(PolicyRules, AnIdentityAloneIsSeenByItsRules) {
    policy.rules.push_back(rule({"nas2:/x"}));
    policy.rules.push_back(rule({"nas3:/x"}));
    policy.rules[1].uids = {{7, 7}};
    const std::vector<std::uint32_t> none;
    auto view = view_identity(policy, IdentitySource::declared, 1001, 1001, none);
    EXPECT_THAT(view.rules, ElementsAre(1u, 3u));
    EXPECT_EQ(Reason::none, view.reason);
    EXPECT_EQ("rule 1, rule 3", view.text);
    view = view_identity(policy, IdentitySource::declared, 1001, 27, none);
    EXPECT_TRUE(view.rules.empty());
    EXPECT_EQ(Reason::gid, view.reason);
    view = view_identity(policy, IdentitySource::declared, 0, 1001, none);
    EXPECT_EQ(Reason::root_identity, view.reason);
}

}  // namespace
}  // namespace uidnfs::plugins::policy
