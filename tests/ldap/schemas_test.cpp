// SPDX-License-Identifier: Apache-2.0
// Every schema against a real slapd: who a user is, and which groups go along.
#include "ldap/fixture.hpp"
#include "ldap/relay.hpp"

#include <fmt/format.h>

namespace uidnfs::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ldap::Options posix_options() {
    auto options = options_for(shared_slapd());
    options.user_filter = "(&(objectClass=posixAccount)(uid={username}))";
    options.group_base = "ou=groups,dc=example,dc=com";
    return options;
}

TEST(Schemas, PosixAccountAndPosixGroup) {
    Directory directory(posix_options());
    const auto alice = ask(directory, "alice");
    ASSERT_TRUE(alice) << alice.error().operator_text;
    EXPECT_EQ(alice->uid.value(), 1001u);
    EXPECT_EQ(alice->gid.value(), 2001u);
    EXPECT_THAT(groups_of(*alice), ElementsAre(3001, 3002));
    EXPECT_EQ(alice->dn, "uid=alice,ou=people,dc=example,dc=com");
    EXPECT_EQ(alice->server, shared_slapd().url());
    EXPECT_EQ(alice->origin, ldap::Origin::directory);
    EXPECT_TRUE(alice->left_out.empty());
}

TEST(Schemas, GroupsAreThoseOfTheEntryHoweverItsNameIsSpelled) {
    // uid matches in any case and spacing, memberUid (caseExactIA5Match) does not.
    Directory directory(posix_options());
    for (const std::string user : {"ALICE", "Alice", " alice "}) {
        const auto alice = ask(directory, user, "password-of-alice");
        ASSERT_TRUE(alice) << alice.error().operator_text;
        EXPECT_EQ(alice->uid.value(), 1001u);
        EXPECT_THAT(groups_of(*alice), ElementsAre(3001, 3002)) << user;
    }
}

TEST(Schemas, GroupOfNamesByDn) {
    auto options = options_for(shared_slapd());
    options.group_base = "ou=named,dc=example,dc=com";
    options.group_filter = "(&(objectClass=groupOfNames)(member={dn}))";
    Directory directory(std::move(options));
    const auto alice = ask(directory, "alice");
    ASSERT_TRUE(alice) << alice.error().operator_text;
    EXPECT_THAT(groups_of(*alice), ElementsAre(4001)) << "a group without a gid is none to Unix";
    const auto odd = ask(directory, "j\xc3\xb6rg", "password-of-odd2");
    ASSERT_TRUE(odd) << odd.error().operator_text;
    EXPECT_EQ(odd->uid.value(), 1019u);
    EXPECT_THAT(groups_of(*odd), ElementsAre(4002)) << "a DN with a comma and quotes in a filter";
}

TEST(Schemas, MemberOfReadsEachGroupByItsDn) {
    Slapd slapd({people(), {}, "overlay memberof\n"});
    // The overlay writes memberOf when members are added, not when slapadd loads them.
    slapd.change(
        "dn: cn=by-dn,ou=named,dc=example,dc=com\nchangetype: modify\nadd: member\n"
        "member: uid=bob,ou=people,dc=example,dc=com\n\n"
        "dn: cn=odd,ou=named,dc=example,dc=com\nchangetype: modify\nadd: member\n"
        "member: uid=bob,ou=people,dc=example,dc=com\n\n"
        "dn: cn=no-number,ou=named,dc=example,dc=com\nchangetype: modify\nadd: member\n"
        "member: uid=bob,ou=people,dc=example,dc=com\n"
    );
    auto options = options_for(slapd);
    options.attributes.member_of = "memberOf";
    Directory directory(std::move(options));
    const auto bob = ask(directory, "bob");
    ASSERT_TRUE(bob) << bob.error().operator_text;
    EXPECT_THAT(groups_of(*bob), ElementsAre(4001, 4002));
    const auto carol = ask(directory, "carol");
    ASSERT_TRUE(carol);
    EXPECT_THAT(groups_of(*carol), IsEmpty());
}

TEST(Schemas, ActiveDirectoryNamesAndAccountControl) {
    auto options = options_for(shared_slapd());
    options.user_filter = "(|(sAMAccountName={username})(userPrincipalName={username}))";
    options.group_base = "ou=named,dc=example,dc=com";
    options.group_filter = "(member={dn})";
    Directory directory(std::move(options));
    for (const auto* name : {"DORA", "dora", "dora@example.com"}) {
        const auto dora = ask(directory, name, "password-of-dora");
        ASSERT_TRUE(dora) << dora.error().operator_text;
        EXPECT_EQ(dora->uid.value(), 1016u);
        EXPECT_THAT(groups_of(*dora), ElementsAre(4001));
    }
    EXPECT_EQ(outcome(ask(directory, "GONE", "password-of-gone")), "account_disabled");
}

TEST(Schemas, ActiveDirectoryChainRuleIsSentAsAnExtensibleMatch) {
    // slapd does not have this rule and finds nothing by it: what counts is what it is asked.
    const Relay relay(shared_slapd().port());
    auto options = options_for(shared_slapd());
    options.urls = {relay.url()};
    options.group_base = "ou=named,dc=example,dc=com";
    options.group_filter = "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={dn}))";
    Directory directory(std::move(options));
    const auto odd = ask(directory, "j\xc3\xb6rg", "password-of-odd2");
    ASSERT_TRUE(odd) << odd.error().operator_text;
    // RFC 4511 4.5.1: extensibleMatch [9] { matchingRule [1], type [2], matchValue [3] }
    const std::string dn = "cn=odd2\\2C \\22x\\22,ou=people,dc=example,dc=com";
    const std::string rule =
        "\x81\x17"
        "1.2.840.113556.1.4.1941"
        "\x82\x06"
        "member"
        "\x83";
    EXPECT_EQ(odd->dn, dn);
    EXPECT_THAT(relay.heard(), testing::HasSubstr(rule + static_cast<char>(dn.size()) + dn));
}

TEST(Schemas, OldDriverTakesTheGidFromTheUid) {
    auto options = options_for(shared_slapd());
    options.gid_from_uid = true;
    Directory directory(std::move(options));
    const auto nogid = ask(directory, "nogid");
    ASSERT_TRUE(nogid) << nogid.error().operator_text;
    EXPECT_EQ(nogid->gid.value(), 1005u);
    EXPECT_EQ(ask(directory, "alice")->gid.value(), 2001u);
}

TEST(Schemas, DefaultGidIsForUsersWithoutOne) {
    auto options = options_for(shared_slapd());
    options.default_gid = 777;
    Directory directory(std::move(options));
    EXPECT_EQ(ask(directory, "nogid")->gid.value(), 777u);
    EXPECT_EQ(ask(directory, "alice")->gid.value(), 2001u);
}

TEST(Schemas, UserNameInTheBase) {
    auto options = options_for(shared_slapd());
    options.user_base = "uid={username},ou=people,dc=example,dc=com";
    options.user_filter = "(objectClass=posixAccount)";
    Directory directory(std::move(options));
    EXPECT_EQ(ask(directory, "alice")->uid.value(), 1001u);
    EXPECT_EQ(outcome(ask(directory, "nobody")), "no_such_user");
    EXPECT_EQ(outcome(ask(directory, "alice,ou=people", "password-of-alice")), "no_such_user");
}

TEST(Groups, FortyGroupsKeepThePreferredAndSayWhichAreLeftOut) {
    const LogFile log;
    auto options = posix_options();
    options.prefer_groups = {5039, 9999, 5020};
    Directory directory(std::move(options));
    const auto carol = ask(directory, "carol");
    ASSERT_TRUE(carol) << carol.error().operator_text;
    EXPECT_THAT(
        groups_of(*carol),
        ElementsAre(
            5039,
            5020,
            5000,
            5001,
            5002,
            5003,
            5004,
            5005,
            5006,
            5007,
            5008,
            5009,
            5010,
            5011,
            5012,
            5013
        )
    );
    ASSERT_EQ(carol->left_out.size(), 24u);
    EXPECT_EQ(
        carol->left_out.front(), (ldap::LeftOut{ldap::LeftOut::Why::too_many, "many14", "5014"})
    );
    EXPECT_THAT(describe(*carol), testing::HasSubstr("5038 many38: more than 16 groups"));
    EXPECT_THAT(
        log.text(), testing::HasSubstr("user 'carol' is in more groups than it acts with: ")
    );
    EXPECT_THAT(log.text(), testing::HasSubstr(describe(*carol)));
}

TEST(Groups, GroupOfRootIsLeftOutUnlessAllowed) {
    Directory directory(posix_options());
    const auto bob = ask(directory, "bob");
    ASSERT_TRUE(bob) << bob.error().operator_text;
    EXPECT_THAT(groups_of(*bob), ElementsAre(3002));
    EXPECT_EQ(bob->left_out.at(0), (ldap::LeftOut{ldap::LeftOut::Why::root, "wheel", "0"}));

    auto options = posix_options();
    options.allow_root_identity = true;
    Directory permissive(std::move(options));
    EXPECT_THAT(groups_of(*ask(permissive, "bob")), ElementsAre(0, 3002));
}

TEST(Groups, MoreThanAPageOfThemIsReadToTheEnd) {
    // The server hands out 50 entries at most at once, and more only in pages.
    std::string ldif = people();
    for (int i = 0; i < 1200; ++i) {
        ldif += fmt::format(
            "dn: cn=paged{0},ou=groups,dc=example,dc=com\nobjectClass: posixGroup\ncn: paged{0}\n"
            "gidNumber: {1}\nmemberUid: alice\n\n",
            i,
            10000 + i
        );
    }
    Slapd slapd({ldif, {}, "sizelimit size.soft=50 size.hard=50 size.prtotal=unlimited\n"});
    auto options = options_for(slapd);
    options.group_base = "ou=groups,dc=example,dc=com";
    Directory directory(std::move(options));
    const auto alice = ask(directory, "alice");
    ASSERT_TRUE(alice) << alice.error().operator_text;
    EXPECT_EQ(alice->groups.size() + alice->left_out.size(), 1202u);
    EXPECT_EQ(directory.counters().searches, 1u + 3u) << "the user, and three pages of groups";
}

}  // namespace
}  // namespace uidnfs::test
