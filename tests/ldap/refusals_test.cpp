// SPDX-License-Identifier: Apache-2.0
// Who gets no identity, and why: each kind of failure by a real slapd.
#include "ldap/fixture.hpp"

#include <fmt/format.h>

namespace uidnfs::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Refusals : public testing::Test {
protected:
    Refusals() : directory_(options_for(shared_slapd())) {}

    void expect(const std::string& user, const char* kind, const char* why) {
        const auto answer = ask(directory_, user);
        EXPECT_EQ(outcome(answer), kind) << user;
        if (answer) return;
        EXPECT_THAT(answer.error().user_text, HasSubstr(why));
        EXPECT_THAT(answer.error().user_text, HasSubstr("'" + user + "'"));
        EXPECT_THAT(answer.error().user_text, Not(HasSubstr("dc=example"))) << "for operators only";
    }

    Directory directory_;
};

TEST_F(Refusals, WrongPassword) {
    const auto answer = ask(directory_, "alice", "password-of-bob");
    EXPECT_EQ(outcome(answer), "bad_credentials");
    EXPECT_THAT(answer.error().user_text, HasSubstr("the password is wrong"));
    EXPECT_THAT(answer.error().operator_text, Not(HasSubstr("password-of-bob")));
    EXPECT_EQ(outcome(ask(directory_, "alice")), "ok");
}

TEST_F(Refusals, EmptyPasswordNeverReachesAServerThatWouldTakeIt) {
    // The shared slapd allows bind_anon_cred and bind_anon_dn: any DN with an empty password is
    // answered with success.
    ASSERT_NO_THROW(run(
        {"ldapwhoami",
         "-x",
         "-H",
         shared_slapd().url(),
         "-D",
         "uid=alice,ou=people,dc=example,dc=com",
         "-w",
         ""}
    ));
    const auto answer = ask(directory_, "alice", "");
    EXPECT_EQ(outcome(answer), "bad_credentials");
    EXPECT_THAT(
        answer.error().user_text,
        HasSubstr("LDAP username is specified but LDAP password is missing")
    );
    EXPECT_EQ(directory_.counters().connects, 0u);
}

TEST_F(Refusals, UnknownUser) {
    const auto kind = static_cast<std::size_t>(FailureKind::no_such_user);
    const auto before = directory_.counters().failures[kind];
    expect("nobody-of-this-name", "no_such_user", "User does not exist");
    EXPECT_EQ(directory_.counters().failures[kind], before + 1);
}

TEST_F(Refusals, AmbiguousUser) {
    expect("twin", "ambiguous", "Ambiguous search--too many results");
    const auto twin = ask(directory_, "twin");
    for (const auto* dn : {"uid=twin,ou=people,dc=", "uid=twin,ou=more,ou=people,dc="}) {
        EXPECT_THAT(twin.error().operator_text, HasSubstr(dn)) << "those who match";
    }
}

TEST_F(Refusals, DisabledAccounts) {
    expect("disabled", "account_disabled", "the account is disabled");
    expect("inactive", "account_disabled", "the account is disabled");
}

TEST_F(Refusals, ExpiredAccounts) {
    expect("expired", "account_disabled", "the account has expired");
    expect("unexpired", "ok", "");
}

TEST_F(Refusals, LockedByAnAdministrator) {
    expect("locked", "account_disabled", "the account is locked");
}

TEST_F(Refusals, PasswordThatWasReset) {
    expect("reset", "account_disabled", "the password must be changed");
}

TEST_F(Refusals, LockedByThePasswordPolicy) {
    auto options = options_for(shared_slapd());
    options.negative_cache = 0ms;
    Directory directory(std::move(options));
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(outcome(ask(directory, "victim", fmt::format("guess {}", i))), "bad_credentials");
    }
    // Some more than the policy's three: a busy slapd may fail to note one.
    for (int i = 3; i < 6; ++i) (void)ask(directory, "victim", fmt::format("guess {}", i));
    const auto answer = ask(directory, "victim");
    EXPECT_EQ(outcome(answer), "account_disabled");
    EXPECT_THAT(answer.error().user_text, HasSubstr("the account is locked"));
}

TEST_F(Refusals, NoUidNumber) { expect("nouid", "no_uid", "its uidNumber is missing"); }
TEST_F(Refusals, NoGidNumber) { expect("nogid", "no_uid", "its gidNumber is missing"); }

TEST_F(Refusals, RootUnlessAllowed) {
    expect("root", "not_allowed", "its uidNumber is 0");
    expect("rootgroup", "not_allowed", "its gidNumber is 0");
    auto options = options_for(shared_slapd());
    options.allow_root_identity = true;
    Directory permissive(std::move(options));
    EXPECT_EQ(ask(permissive, "root")->uid.value(), 0u);
}

TEST_F(Refusals, NumbersThatAreNoIds) {
    expect("huge", "no_uid", "its uidNumber does not fit in 32 bits");
    expect("reserved", "no_uid", "its uidNumber is 4294967295");
    expect("negative", "no_uid", "its uidNumber is not a number of digits only");
    const auto highest = ask(directory_, "highest");
    ASSERT_TRUE(highest);
    EXPECT_EQ(highest->uid.value(), 4294967294u);
}

TEST_F(Refusals, TextsThatAreNoIds) {
    auto options = options_for(shared_slapd());
    options.attributes.uid = "textNumber";
    Directory directory(std::move(options));
    const auto text = ask(directory, "text");
    EXPECT_EQ(outcome(text), "no_uid");
    EXPECT_THAT(text.error().user_text, HasSubstr("its textNumber is not a number"));
    EXPECT_THAT(text.error().operator_text, HasSubstr("10o1"));
    EXPECT_EQ(outcome(ask(directory, "twotext")), "no_uid");
}

TEST_F(Refusals, ServiceAccountWithAWrongPasswordIsAskedOnce) {
    auto options = options_for(shared_slapd());
    options.bind_password = core::Secret("not the password");
    Directory directory(std::move(options));
    const auto answer = ask(directory, "alice");
    EXPECT_EQ(outcome(answer), "misconfigured");
    EXPECT_THAT(answer.error().operator_text, HasSubstr("binding as bind_dn: Invalid credentials"));
    EXPECT_THAT(answer.error().user_text, Not(HasSubstr("bind_dn")));
    EXPECT_EQ(outcome(ask(directory, "bob")), "misconfigured");
    EXPECT_EQ(directory.counters().binds, 1u) << "each try counts against the service's account";
}

TEST_F(Refusals, BaseThatDoesNotExist) {
    auto options = options_for(shared_slapd());
    options.user_base = "ou=nowhere,dc=example,dc=com";
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "misconfigured");
}

TEST_F(Refusals, PasswordIsNotLookedAtWhereItIsNotVerified) {
    auto options = options_for(shared_slapd());
    options.verify_password = false;
    Directory directory(std::move(options));
    EXPECT_EQ(ask(directory, "alice", "")->uid.value(), 1001u);
    EXPECT_EQ(directory.counters().binds, 1u) << "the service's own";
    EXPECT_EQ(outcome(ask(directory, "disabled", "")), "account_disabled");
    EXPECT_EQ(outcome(ask(directory, "locked", "")), "account_disabled");
}

class Injection : public Refusals {};

TEST_F(Injection, FilterCharactersAreOnlyCharacters) {
    for (const auto* name :
         {"*",
          "al*",
          "alice)(uid=*",
          "*)(uid=*))(|(uid=*",
          ")(uid=*",
          "\\2a",
          "\\",
          "(",
          ")",
          "{dn}",
          "{username}",
          "alice\\00",
          "a&b",
          "|"}) {
        EXPECT_EQ(outcome(ask(directory_, name, "password-of-alice")), "no_such_user") << name;
    }
    const auto odd = ask(directory_, "o*d)(uid=\\", "password-of-odd1");
    ASSERT_TRUE(odd) << odd.error().operator_text;
    EXPECT_EQ(odd->uid.value(), 1018u);
}

TEST_F(Injection, BytesThatAreNoText) {
    using namespace std::literals;
    EXPECT_EQ(outcome(ask(directory_, "alice\0"s, "password-of-alice")), "no_such_user");
    EXPECT_EQ(outcome(ask(directory_, "alice\0*"s, "password-of-alice")), "no_such_user");
    EXPECT_EQ(outcome(ask(directory_, "\xff\xfe", "x")), "no_such_user");
    EXPECT_EQ(outcome(ask(directory_, "", "x")), "no_such_user");
    EXPECT_EQ(outcome(ask(directory_, "j\xc3\xb6rg", "password-of-odd2")), "ok");
}

TEST_F(Injection, LongNamesAskNobody) {
    const auto answer = ask(directory_, std::string(10'000, '*'), "x");
    EXPECT_EQ(outcome(answer), "no_such_user");
    EXPECT_LT(answer.error().user_text.size(), 300u);
    EXPECT_LT(answer.error().operator_text.size(), 600u);
    EXPECT_EQ(directory_.counters().connects, 0u);
}

TEST_F(Injection, PasswordsAreBytes) {
    using namespace std::literals;
    EXPECT_EQ(outcome(ask(directory_, "alice", "password-of-alice\0x"sv)), "bad_credentials");
    EXPECT_EQ(outcome(ask(directory_, "bob", std::string(10'000, 'x'))), "bad_credentials");
}

}  // namespace
}  // namespace uidnfs::test
