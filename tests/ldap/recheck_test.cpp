// SPDX-License-Identifier: Apache-2.0
// Rounds of rechecks against real directories.
#include "ldap/fixture.hpp"
#include "ldap/rechecker.hpp"

#include <fmt/format.h>

namespace uidnfs::test {
namespace {

using ldap::LiveMount;
using ldap::RecheckAction;
using ldap::Rechecker;

class Rechecks : public testing::Test {
protected:
    Rechecks() : one_({people(), {}, {}}), two_({people(), {}, {}}) {}

    ldap::Options options() const {
        auto options = options_for(one_);
        options.urls = {one_.url(), two_.url()};
        options.recheck_action = RecheckAction::deny;
        options.recheck_max_percent = 40;
        options.timeout = 2s;
        return options;
    }
    static std::vector<LiveMount> mounts() {
        return {
            {"volume-a", "alice", mapper::ServerUid(1001), mapper::ServerGid(2001)},
            {"volume-b", "bob", mapper::ServerUid(1002), mapper::ServerGid(2001)},
            {"volume-c", "carol", mapper::ServerUid(1003), mapper::ServerGid(2001)},
        };
    }
    static void remove(const Slapd& slapd, const std::string& user) {
        slapd.change(
            fmt::format("dn: uid={},ou=people,dc=example,dc=com\nchangetype: delete\n", user)
        );
    }
    static void disable(const Slapd& slapd, const std::string& user, const char* expire) {
        slapd.change(fmt::format(
            "dn: uid={},ou=people,dc=example,dc=com\nchangetype: modify\nreplace: shadowExpire\n"
            "shadowExpire: {}\n",
            user,
            expire
        ));
    }
    static int denied(const ldap::Recheck::Outcome& outcome) {
        int count = 0;
        for (const auto& event : outcome.events) {
            if (event.kind == ldap::Recheck::Event::Kind::deny) ++count;
        }
        return count;
    }

    Slapd one_;
    Slapd two_;
};

TEST_F(Rechecks, AllIsWellWithOneServerAsked) {
    Directory directory(options());
    Rechecker rechecker(directory, options());
    const auto outcome = rechecker.round(mounts());
    EXPECT_TRUE(outcome.events.empty());
    EXPECT_FALSE(outcome.alarm);
    EXPECT_EQ(directory.counters().lookups, 3u);
    EXPECT_EQ(directory.counters().successes, 3u);
}

TEST_F(Rechecks, AccountDisabledOnBothIsDeniedAndGivenBack) {
    Directory directory(options());
    Rechecker rechecker(directory, options());
    disable(one_, "alice", "1");
    EXPECT_EQ(denied(rechecker.round(mounts())), 0);
    EXPECT_EQ(denied(rechecker.round(mounts())), 0) << "the other server knows it as it was";
    disable(two_, "alice", "1");
    EXPECT_EQ(denied(rechecker.round(mounts())), 0) << "the first round of two";
    const auto outcome = rechecker.round(mounts());
    ASSERT_EQ(denied(outcome), 1);
    EXPECT_EQ(outcome.events.front().mount, "volume-a");
    EXPECT_EQ(outcome.events.front().verdict, ldap::Verdict::disabled);
    disable(one_, "alice", "-1");
    const auto after = rechecker.round(mounts());
    ASSERT_EQ(after.events.size(), 2u);
    EXPECT_EQ(after.events[1].kind, ldap::Recheck::Event::Kind::give_back);
}

TEST_F(Rechecks, SecondServerThatIsDownSavesEverybody) {
    Directory directory(options());
    Rechecker rechecker(directory, options());
    remove(one_, "alice");
    remove(two_, "alice");
    two_.stop();
    for (int i = 0; i < 4; ++i) EXPECT_EQ(denied(rechecker.round(mounts())), 0);
}

TEST_F(Rechecks, ServersThatRefuseOurLoginAreAskedOnceAndTakeNothingAway) {
    auto wrong = options();
    wrong.bind_password = core::Secret("not the password");
    wrong.negative_cache = 60s;
    Directory directory(std::move(wrong));
    Rechecker rechecker(directory, options());
    for (int i = 0; i < 3; ++i) {
        const auto outcome = rechecker.round(mounts());
        EXPECT_TRUE(outcome.events.empty());
        EXPECT_FALSE(outcome.alarm);
    }
    EXPECT_EQ(directory.counters().binds, 2u) << "each try counts against the service's account";
    EXPECT_EQ(directory.counters().lookups, 2u);
}

TEST_F(Rechecks, OrganisationThatWasMovedIsAnAlarm) {
    auto moved = options();
    Directory directory(options());
    Rechecker rechecker(directory, moved);
    for (const auto* slapd : {&one_, &two_}) {
        remove(*slapd, "alice");
        remove(*slapd, "bob");
    }
    for (int i = 0; i < 3; ++i) {
        const auto outcome = rechecker.round(mounts());
        EXPECT_EQ(denied(outcome), 0);
        ASSERT_TRUE(outcome.alarm);
        EXPECT_EQ(outcome.alarm->losing, 2u);
    }
}

TEST_F(Rechecks, WhereNothingIsTakenAwayThereIsNoAlarm) {
    auto reporting = options();
    reporting.recheck_action = RecheckAction::report;
    Directory directory(options());
    Rechecker rechecker(directory, reporting);
    for (const auto* slapd : {&one_, &two_}) {
        remove(*slapd, "alice");
        remove(*slapd, "bob");
    }
    EXPECT_EQ(rechecker.round(mounts()).events.size(), 2u);
    EXPECT_FALSE(rechecker.round(mounts()).alarm);
}

}  // namespace
}  // namespace uidnfs::test
