// SPDX-License-Identifier: Apache-2.0
// A directory that says "ask there": nobody does. There, passwords would go to whoever wrote the
// referral. The environment of this program (fixture.cpp) tells libldap to follow them.
#include "ldap/fixture.hpp"
#include "ldap/relay.hpp"

#include <fmt/format.h>

namespace uidnfs::test {
namespace {

using testing::HasSubstr;

class Referrals : public testing::Test {
protected:
    /// It leads to a server that knows everybody.
    Referrals()
        : there_(shared_slapd().port()),
          slapd_({people() + refer("ou=people", "elsewhere") + refer("ou=groups", "others")}) {}

    std::string refer(const std::string& above, const std::string& name) const {
        return fmt::format(
            "dn: ou={0},{1},dc=example,dc=com\nobjectClass: referral\n"
            "objectClass: extensibleObject\nou: {0}\nref: {2}/{1},dc=example,dc=com\n\n",
            name,
            above,
            there_.url()
        );
    }

    const Relay there_;
    Slapd slapd_;
};

TEST_F(Referrals, BesideEntriesAreNothing) {
    auto options = options_for(slapd_);
    options.group_base = "ou=groups,dc=example,dc=com";
    Directory directory(std::move(options));
    const auto alice = ask(directory, "alice");
    ASSERT_TRUE(alice) << alice.error().operator_text;
    EXPECT_THAT(groups_of(*alice), testing::ElementsAre(3001, 3002));
    EXPECT_EQ(outcome(ask(directory, "user1")), "no_such_user") << "the other server has one";
    EXPECT_EQ(there_.connections(), 0);
}

TEST_F(Referrals, InsteadOfTheBaseAreAMistakeOfTheConfiguration) {
    auto options = options_for(slapd_);
    options.user_base = "ou=elsewhere,ou=people,dc=example,dc=com";
    Directory directory(std::move(options));
    const auto alice = ask(directory, "alice");
    ASSERT_EQ(outcome(alice), "misconfigured");
    EXPECT_THAT(alice.error().operator_text, HasSubstr("Referral"));
    EXPECT_EQ(there_.connections(), 0);
}

TEST_F(Referrals, OfAGroupLeaveItOut) {
    slapd_.change(
        "dn: uid=bob,ou=people,dc=example,dc=com\nchangetype: modify\nadd: seeAlso\n"
        "seeAlso: cn=x,ou=others,ou=groups,dc=example,dc=com\n"
        "seeAlso: cn=staff,ou=groups,dc=example,dc=com\n"
    );
    auto options = options_for(slapd_);
    options.attributes.member_of = "seeAlso";
    Directory directory(std::move(options));
    const auto bob = ask(directory, "bob");
    ASSERT_TRUE(bob) << bob.error().operator_text;
    EXPECT_THAT(groups_of(*bob), testing::ElementsAre(3001));
    EXPECT_EQ(there_.connections(), 0);
}

}  // namespace
}  // namespace uidnfs::test
