// SPDX-License-Identifier: Apache-2.0
// Whose matter a refusal is: one user's, which is nothing to the others, or that of our own login,
// which is not tried often and is no outage.
#include "ldap/fixture.hpp"
#include "ldap/relay.hpp"

#include <fmt/format.h>

namespace uidnfs::test {
namespace {

using ldap::Origin;
using testing::HasSubstr;
using testing::Not;
using State = Directory::Server::State;

/// Every question goes to the directory, and every identity may serve in an outage.
ldap::Options asking_each_time(const Slapd& slapd) {
    auto options = options_for(slapd);
    options.cache = 0ms;
    options.cache_stale = 60s;
    options.negative_cache = 60s;
    return options;
}

/// Until the hash of the password is kept: only then there is one to compare with.
void make_known(Directory& directory, const std::string& user) {
    const auto before = directory.counters().hashes;
    ASSERT_TRUE(eventually([&] {
        return outcome(ask(directory, user)) == "ok" && directory.counters().hashes >= before + 2;
    }));
}

/// The service's account is locked, and its connections are closed.
void lock_service(Slapd& slapd, const std::string& password = "another-one") {
    slapd.change(fmt::format(
        "dn: {}\nchangetype: modify\nreplace: userPassword\nuserPassword: {}\n",
        kServiceDn,
        password
    ));
    slapd.stop();
    slapd.start();
}
void unlock_service(Slapd& slapd) { lock_service(slapd, kServicePassword); }

class OneUser : public testing::Test {
protected:
    /// `user` is refused for what is its own, twice and asked for once; `other` is not.
    static void expect_refused_alone(
        Directory& directory, const std::string& user, const char* why, const std::string& other
    ) {
        make_known(directory, other);
        const auto before = directory.counters().lookups;
        for (int i = 0; i < 2; ++i) {
            const auto answer = ask(directory, user);
            ASSERT_EQ(outcome(answer), "misconfigured");
            EXPECT_THAT(answer.error().user_text, HasSubstr("'" + user + "'"));
            EXPECT_THAT(answer.error().operator_text, HasSubstr(why));
        }
        EXPECT_EQ(directory.counters().lookups, before + 1);
        EXPECT_EQ(directory.servers()[0].state, State::up);
        // Nor is it an outage for whoever is known from before.
        const auto answer = ask(directory, other);
        ASSERT_TRUE(answer) << answer.error().operator_text;
        EXPECT_EQ(answer->origin, Origin::directory);
        EXPECT_EQ(outcome(directory.look_up(user, 0)), "misconfigured");
        EXPECT_EQ(directory.servers()[0].state, State::up) << "after a recheck";
    }
};

TEST_F(OneUser, InMoreGroupsThanAServerSaysAtOnce) {
    Slapd slapd({people(), {}, "sizelimit size.soft=10 size.hard=10 size.prtotal=10\n"});
    auto options = asking_each_time(slapd);
    options.group_base = "ou=groups,dc=example,dc=com";
    Directory directory(std::move(options));
    expect_refused_alone(directory, "carol", "limit exceeded", "alice");
}

TEST_F(OneUser, InMoreGroupsThanOneServerSaysAsksTheNext) {
    Slapd small({people(), {}, "sizelimit size.soft=10 size.hard=10 size.prtotal=10\n"});
    auto options = asking_each_time(small);
    options.group_base = "ou=groups,dc=example,dc=com";
    options.urls.push_back(shared_slapd().url());
    Directory directory(std::move(options));
    const auto carol = ask(directory, "carol");
    ASSERT_TRUE(carol) << carol.error().operator_text;
    EXPECT_EQ(carol->server, shared_slapd().url());
    EXPECT_EQ(directory.servers()[0].state, State::up);
}

TEST_F(OneUser, WithAPartOfItsGroupsAsActiveDirectorySaysThem) {
    Slapd slapd({people(), "attributeoptions lang- range-\n", {}});
    slapd.change(
        "dn: uid=carol,ou=people,dc=example,dc=com\nchangetype: modify\nadd: seeAlso;range-0-1\n"
        "seeAlso;range-0-1: cn=staff,ou=groups,dc=example,dc=com\n"
    );
    // slapd takes no "=" into the name of an option.
    Relay relay(slapd.port());
    relay.set_words(";range-0-1", ";range=0-1");
    auto options = asking_each_time(slapd);
    options.urls = {relay.url()};
    options.attributes.member_of = "seeAlso";
    Directory directory(std::move(options));
    expect_refused_alone(directory, "carol", "seeAlso is only a part", "alice");
}

TEST_F(OneUser, WhoseBindIsNotAcceptedThisWay) {
    Relay relay(shared_slapd().port());
    auto options = asking_each_time(shared_slapd());
    options.urls = {relay.url()};
    Directory directory(std::move(options));
    make_known(directory, "alice");
    // RFC 4511 4.2.2: BindResponse [APPLICATION 1], resultCode 49 becomes 13.
    relay.set_words("\x61\x07\x0a\x01\x31", "\x61\x07\x0a\x01\x0d");
    EXPECT_EQ(outcome(ask(directory, "carol", "wrong")), "misconfigured");
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    EXPECT_EQ(directory.servers()[0].state, State::up);
}

TEST_F(OneUser, WithoutTheBaseThatHasItsName) {
    Slapd slapd({people(), {}, {}});
    slapd.change(
        "dn: ou=alice,ou=groups,dc=example,dc=com\nchangetype: add\n"
        "objectClass: organizationalUnit\nou: alice\n"
    );
    auto options = asking_each_time(slapd);
    options.group_base = "ou={username},ou=groups,dc=example,dc=com";
    Directory directory(std::move(options));
    expect_refused_alone(directory, "carol", "No such object", "alice");
}

TEST(EveryUser, WithoutTheBaseIsAskedForAndToldByItsOwnName) {
    Slapd slapd({people(), {}, {}});
    auto options = asking_each_time(slapd);
    options.group_base = "ou=later,dc=example,dc=com";
    Directory directory(std::move(options));
    for (const std::string user : {"alice", "bob"}) {
        const auto answer = ask(directory, user);
        ASSERT_EQ(outcome(answer), "misconfigured");
        EXPECT_THAT(answer.error().user_text, HasSubstr("'" + user + "'"));
        EXPECT_EQ(directory.servers()[0].state, State::down);
    }
    slapd.change(
        "dn: ou=later,dc=example,dc=com\nchangetype: add\nobjectClass: organizationalUnit\n"
        "ou: later\n"
    );
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok") << "at once";
    EXPECT_EQ(directory.servers()[0].state, State::up);
}

class OwnLogin : public testing::Test {
protected:
    OwnLogin() : slapd_({people(), {}, {}}) {}
    Slapd slapd_;
};

TEST_F(OwnLogin, RefusedServesNoStaleIdentity) {
    Directory directory(asking_each_time(slapd_));
    make_known(directory, "alice");
    lock_service(slapd_);
    const auto binds = directory.counters().binds;
    for (int i = 0; i < 4; ++i) {
        EXPECT_EQ(outcome(ask(directory, "alice")), "misconfigured") << i;
    }
    EXPECT_EQ(directory.counters().stale_hits, 0u);
    EXPECT_EQ(directory.counters().binds, binds + 1) << "each try counts against that account";
}

TEST_F(OwnLogin, RefusedIsToldToEachUserByItsOwnName) {
    auto options = asking_each_time(slapd_);
    options.bind_password = core::Secret("not the password");
    Directory directory(std::move(options));
    for (const std::string user : {"alice", "bob"}) {
        const auto answer = ask(directory, user);
        ASSERT_EQ(outcome(answer), "misconfigured");
        const auto text = answer.error().user_text + answer.error().operator_text;
        EXPECT_THAT(text, HasSubstr("'" + user + "'"));
        EXPECT_THAT(text, HasSubstr("binding as bind_dn: Invalid credentials"));
        EXPECT_THAT(text, Not(HasSubstr(user == "alice" ? "bob" : "alice")));
    }
    EXPECT_EQ(directory.counters().lookups, 1u) << "the second one asked nobody";
    EXPECT_EQ(directory.counters().binds, 1u);
}

TEST_F(OwnLogin, SaysThatItIsLockedWhereTheServerDoes) {
    const auto locked = fmt::format(
        "dn: cn=locked,ou=services,dc=example,dc=com\nobjectClass: organizationalRole\n"
        "objectClass: simpleSecurityObject\ncn: locked\nuserPassword: {}\n"
        "pwdAccountLockedTime: 000001010000Z\n\n",
        kServicePassword
    );
    Slapd strict({people() + locked, {}, policy_overlay()});
    auto options = asking_each_time(strict);
    options.bind_dn = "cn=locked,ou=services,dc=example,dc=com";
    Directory directory(std::move(options));
    const auto answer = ask(directory, "alice");
    ASSERT_EQ(outcome(answer), "misconfigured");
    EXPECT_THAT(
        answer.error().operator_text,
        HasSubstr("binding as bind_dn: Invalid credentials: the account is locked")
    );
}

TEST_F(OwnLogin, MissingIsNoOutage) {
    // slapd lets nobody but the service see anything, and says so with 32; Active Directory says
    // operationsError (1) to whoever did not log in.
    Relay relay(slapd_.port());
    auto options = asking_each_time(slapd_);
    options.urls = {relay.url()};
    options.bind_dn.clear();
    options.bind_password = core::Secret();
    // RFC 4511 4.5.2: SearchResultDone [APPLICATION 5], resultCode 32 becomes 1.
    relay.set_words("\x65\x07\x0a\x01\x20", "\x65\x07\x0a\x01\x01");
    Directory directory(std::move(options));
    const auto answer = ask(directory, "alice");
    ASSERT_EQ(outcome(answer), "misconfigured");
    EXPECT_THAT(answer.error().operator_text, HasSubstr("Operations error"));
}

TEST_F(OwnLogin, RefusedByOneServerIsNoOutageWhileTheOtherIsUnreachable) {
    Slapd other({people(), {}, {}});
    for (const auto unreachable : {0u, 1u}) {
        auto options = asking_each_time(slapd_);
        options.urls.insert(options.urls.begin() + unreachable, other.url());
        Directory directory(std::move(options));
        make_known(directory, "alice");
        lock_service(slapd_);
        other.stop();
        const auto binds = directory.counters().binds;
        for (int i = 0; i < 3; ++i) {
            EXPECT_EQ(outcome(ask(directory, "alice")), "misconfigured") << i;
        }
        EXPECT_EQ(directory.counters().binds, binds + 1);
        // The one that is back is asked although the other still refuses.
        other.start();
        const auto alice = ask(directory, "alice");
        ASSERT_TRUE(alice) << alice.error().operator_text;
        EXPECT_EQ(alice->server, other.url());
        EXPECT_EQ(alice->origin, Origin::directory);
        unlock_service(slapd_);
    }
}

TEST_F(OwnLogin, TakenAgainServesAgain) {
    auto options = asking_each_time(slapd_);
    options.negative_cache = 300ms;
    Directory directory(std::move(options));
    make_known(directory, "alice");
    lock_service(slapd_);
    EXPECT_EQ(outcome(ask(directory, "alice")), "misconfigured");
    unlock_service(slapd_);
    EXPECT_TRUE(eventually([&] {
        const auto alice = ask(directory, "alice");
        return alice && alice->origin == Origin::directory;
    }));
    EXPECT_EQ(directory.servers()[0].state, State::up);
}

TEST_F(OwnLogin, RefusedByAServerThatIsGoneSinceIsAnOutage) {
    auto options = asking_each_time(slapd_);
    options.negative_cache = 300ms;
    Directory directory(std::move(options));
    make_known(directory, "alice");
    lock_service(slapd_);
    EXPECT_EQ(outcome(ask(directory, "alice")), "misconfigured");
    slapd_.stop();
    EXPECT_TRUE(eventually([&] {
        const auto alice = ask(directory, "alice");
        return alice && alice->origin == Origin::stale_cache;
    }));
}

}  // namespace
}  // namespace uidnfs::test
