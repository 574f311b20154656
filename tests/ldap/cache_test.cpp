// SPDX-License-Identifier: Apache-2.0
// Cache, outage and recovery, crowds and secrets, with a real slapd behind.
#include "ldap/fixture.hpp"
#include "ldap/relay.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <latch>
#include <set>
#include <sstream>

namespace uidnfs::test {
namespace {

using ldap::Origin;
using testing::HasSubstr;
using testing::Not;

/// The hash of a password is made after the answer: until it is there, the next one asks again.
void settle(const Directory& directory, std::uint64_t hashes) {
    ASSERT_TRUE(eventually([&] { return directory.counters().hashes >= hashes; }));
    std::this_thread::sleep_for(50ms);
}

TEST(CacheOfIdentities, ServesTheRightPasswordOnly) {
    Directory directory(options_for(shared_slapd()));
    EXPECT_EQ(ask(directory, "alice")->origin, Origin::directory);
    settle(directory, 1);
    EXPECT_EQ(ask(directory, "alice")->origin, Origin::cache);
    EXPECT_EQ(directory.counters().lookups, 1u);
    EXPECT_EQ(outcome(ask(directory, "alice", "password-of-bob")), "bad_credentials");
    EXPECT_EQ(directory.counters().lookups, 2u) << "another password is the directory's to judge";
    EXPECT_EQ(ask(directory, "alice")->origin, Origin::cache) << "a guess ends nobody's identity";
}

TEST(CacheOfIdentities, FailuresAreRememberedSoThatNobodyIsLockedOut) {
    Directory directory(options_for(shared_slapd()));
    EXPECT_EQ(outcome(ask(directory, "alice", "wrong")), "bad_credentials");
    settle(directory, 1);
    for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(outcome(ask(directory, "alice", "wrong")), "bad_credentials");
    }
    EXPECT_EQ(directory.counters().lookups, 1u);
    for (int i = 0; i < 50; ++i) EXPECT_EQ(outcome(ask(directory, "nobody")), "no_such_user");
    EXPECT_EQ(directory.counters().lookups, 2u);
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok") << "the account is not locked";
}

TEST(CacheOfIdentities, FailuresEnd) {
    auto options = options_for(shared_slapd());
    options.negative_cache = 200ms;
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "nobody")), "no_such_user");
    std::this_thread::sleep_for(250ms);
    EXPECT_EQ(outcome(ask(directory, "nobody")), "no_such_user");
    EXPECT_EQ(directory.counters().lookups, 2u);
}

class Changing : public testing::Test {
protected:
    Changing() : slapd_({people(), {}, {}}) {}
    ldap::Options options() const {
        auto options = options_for(slapd_);
        options.cache = 400ms;
        options.cache_stale = 60s;
        options.timeout = 1s;
        return options;
    }
    void replace(const std::string& user, const std::string& attribute, const std::string& value) {
        slapd_.change(fmt::format(
            "dn: uid={0},ou=people,dc=example,dc=com\nchangetype: modify\nreplace: {1}\n{1}: {2}\n",
            user,
            attribute,
            value
        ));
    }
    Slapd slapd_;
};

TEST_F(Changing, PasswordThatWasChangedEndsTheEntryAtTheNextCheck) {
    Directory directory(options());
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    settle(directory, 1);
    replace("alice", "userPassword", "a-new-one");
    std::this_thread::sleep_for(400ms);
    EXPECT_EQ(outcome(ask(directory, "alice")), "bad_credentials");
    slapd_.stop();
    EXPECT_EQ(outcome(ask(directory, "alice")), "bad_credentials") << "nor does an outage help it";
    slapd_.start();
    EXPECT_EQ(outcome(ask(directory, "alice", "a-new-one")), "ok");
}

TEST_F(Changing, NewPasswordIsTakenAtOnceAndEndsTheOldOne) {
    Directory directory(options());
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    settle(directory, 1);
    replace("alice", "userPassword", "a-new-one");
    EXPECT_EQ(outcome(ask(directory, "alice", "a-new-one")), "ok");
    settle(directory, 2);
    EXPECT_EQ(outcome(ask(directory, "alice")), "bad_credentials");
}

TEST_F(Changing, AccountThatWasDisabledEndsTheEntryAtTheNextCheck) {
    auto options = this->options();
    options.cache = 60s;
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "unexpired")), "ok");
    settle(directory, 1);
    replace("unexpired", "shadowExpire", "1");
    EXPECT_EQ(outcome(ask(directory, "unexpired")), "ok") << "within cache_seconds";
    // What a recheck finds ends it before that.
    EXPECT_EQ(outcome(directory.look_up("unexpired", 0)), "account_disabled");
    EXPECT_EQ(directory.counters().lookups, 2u);
    EXPECT_EQ(outcome(ask(directory, "unexpired")), "account_disabled");
}

TEST_F(Changing, StaleIdentityServesWhileEveryServerIsUnreachable) {
    const LogFile log;
    Directory directory(options());
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    EXPECT_EQ(outcome(ask(directory, "bob")), "ok");
    settle(directory, 2);
    slapd_.stop();
    std::this_thread::sleep_for(400ms);
    for (int i = 1; i <= 3; ++i) {
        const auto alice = ask(directory, "alice");
        ASSERT_TRUE(alice) << alice.error().operator_text;
        EXPECT_EQ(alice->origin, Origin::stale_cache);
        EXPECT_EQ(alice->uid.value(), 1001u);
        EXPECT_EQ(directory.counters().stale_hits, static_cast<std::uint64_t>(i));
    }
    EXPECT_EQ(outcome(ask(directory, "alice", "password-of-bob")), "unreachable");
    EXPECT_EQ(outcome(ask(directory, "carol")), "unreachable");
    const auto text = log.text();
    std::size_t times = 0;
    for (auto at = text.find("stale identity used"); at != std::string::npos;
         at = text.find("stale identity used", at + 1)) {
        ++times;
    }
    EXPECT_EQ(times, 3u) << text;

    slapd_.start();
    EXPECT_TRUE(eventually([&] {
        const auto alice = ask(directory, "alice");
        return alice && alice->origin == Origin::directory;
    })) << "recovery is noticed without a restart";
    EXPECT_EQ(outcome(ask(directory, "carol")), "ok");
}

TEST_F(Changing, OneReachableServerThatSaysNoIsNoOutage) {
    auto options = this->options();
    options.urls = {fmt::format("ldap://127.0.0.1:{}", free_port()), slapd_.url()};
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    settle(directory, 1);
    slapd_.change("dn: uid=alice,ou=people,dc=example,dc=com\nchangetype: delete\n");
    std::this_thread::sleep_for(400ms);  // the entry's time is up
    EXPECT_EQ(outcome(ask(directory, "alice")), "no_such_user");
}

TEST_F(Changing, StaleIdentitiesEnd) {
    auto options = this->options();
    options.cache = 100ms;
    options.cache_stale = 2s;
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    settle(directory, 1);
    slapd_.stop();
    std::this_thread::sleep_for(100ms);  // the entry's time is up
    EXPECT_EQ(ask(directory, "alice")->origin, Origin::stale_cache);
    std::this_thread::sleep_for(2s);
    EXPECT_EQ(outcome(ask(directory, "alice")), "unreachable");
}

TEST_F(Changing, ServerThatIsSilentIsAnOutage) {
    Relay relay(slapd_.port());
    auto options = this->options();
    options.urls = {relay.url()};
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    settle(directory, 1);
    relay.set(Relay::Manner::swallow);
    std::this_thread::sleep_for(400ms);
    const auto first =
        timed([&] { EXPECT_EQ(ask(directory, "alice")->origin, Origin::stale_cache); });
    EXPECT_LT(first, 2500ms);
    const auto later =
        timed([&] { EXPECT_EQ(ask(directory, "alice")->origin, Origin::stale_cache); });
    EXPECT_LT(later, 700ms) << "who has an identity does not wait for a server known to be down";
}

TEST_F(Changing, IdentitiesSurviveARestartWithoutPasswords) {
    const TemporaryFolder folder;
    const auto file = folder.path("identities");
    const auto with = [&](bool verify) {
        auto options = this->options();
        options.group_base = "ou=groups,dc=example,dc=com";
        options.cache_file = file;
        options.verify_password = verify;
        return options;
    };
    {
        Directory directory(with(false));
        EXPECT_EQ(outcome(ask(directory, "alice", "")), "ok");
        EXPECT_EQ(outcome(ask(directory, "carol", "")), "ok");
    }
    struct stat about {};
    ASSERT_EQ(::stat(file.c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 07777, 0600u);
    EXPECT_THAT(read_file(file), Not(HasSubstr("password-of")));
    slapd_.stop();
    std::this_thread::sleep_for(400ms);
    {
        Directory directory(with(false));
        const auto carol = ask(directory, "carol", "");
        ASSERT_TRUE(carol) << carol.error().operator_text;
        EXPECT_EQ(carol->origin, Origin::stale_cache);
        EXPECT_EQ(carol->groups.size(), 16u);
        EXPECT_EQ(carol->left_out.size(), 24u);
    }
    {
        // The file knows no password, so it vouches for none.
        Directory directory(with(true));
        EXPECT_EQ(outcome(ask(directory, "alice")), "unreachable");
        EXPECT_EQ(outcome(ask(directory, "alice", "anything")), "unreachable");
    }
    {
        ::chmod(file.c_str(), 0640);
        Directory directory(with(false));
        EXPECT_EQ(outcome(ask(directory, "alice", "")), "unreachable") << "others could read it";
    }
}

TEST_F(Changing, VerifiedIdentitiesAreWrittenSoonAndWithoutPasswords) {
    const TemporaryFolder folder;
    const auto file = folder.path("identities");
    auto options = this->options();
    options.cache_file = file;
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    EXPECT_TRUE(eventually([&] { return std::filesystem::exists(file); }));
    EXPECT_THAT(read_file(file), HasSubstr("alice 1001 2001"));
    EXPECT_THAT(read_file(file), Not(HasSubstr("password")));
}

/// Kilobytes of this process in memory at most so far.
long peak_memory() {
    std::istringstream status(read_file("/proc/self/status"));
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmHWM:")) return std::stol(line.substr(6));
    }
    return 0;
}

TEST(Crowd, TwoHundredQuestionsOfFiftyUsersAreFiftyLookups) {
    auto options = options_for(shared_slapd());
    options.timeout = 20s;  // of a loaded machine; what is measured is how often and how much
    Directory directory(std::move(options));
    const auto memory = peak_memory();
    std::latch done(200);
    std::atomic<int> right = 0;
    for (int i = 0; i < 200; ++i) {
        const auto user = fmt::format("user{}", i % 50);
        directory.resolve(
            user,
            core::Secret("password-of-" + user),
            [&, i](const Answer<Identity>& answer) {
                if (answer && answer->uid.value() == 20000u + static_cast<unsigned>(i % 50))
                    ++right;
                done.count_down();
            }
        );
    }
    done.wait();
    EXPECT_EQ(right, 200);
    EXPECT_LE(directory.counters().lookups, 50u);
    EXPECT_LE(directory.counters().connects, 4u) << "one for each thread";
    ASSERT_TRUE(eventually([&] { return directory.counters().hashes == 50; }, 60s));
    // Two hashes at 16 MiB at a time, and small change.
    EXPECT_LT(peak_memory() - memory, 2 * 16 * 1024 + 24 * 1024);
}

TEST(Crowd, FiftyCachedUsersAreServedWithinTheDeadline) {
    Directory directory(options_for(shared_slapd()));
    for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(outcome(ask(directory, fmt::format("user{}", i))), "ok");
    }
    settle(directory, 50);
    std::latch done(200);
    std::atomic<int> right = 0;
    std::atomic<int> cached = 0;
    const auto took = timed([&] {
        for (int i = 0; i < 200; ++i) {
            const auto user = fmt::format("user{}", i % 50);
            directory.resolve(
                user,
                core::Secret("password-of-" + user),
                [&](const Answer<Identity>& answer) {
                    if (answer) ++right;
                    if (answer && answer->origin == Origin::cache) ++cached;
                    done.count_down();
                }
            );
        }
        done.wait();
    });
    EXPECT_EQ(right, 200) << "who would wait too long for a hash is looked up instead";
    EXPECT_GT(cached, 0);
    EXPECT_LT(took, 3s + 1500ms);
}

TEST_F(Changing, ACrowdDoesNotKeepTheStaleIdentityFromItsUser) {
    // As when all containers of a host start anew during an outage: hashes take their time.
    auto options = this->options();
    options.timeout = 4s;
    options.cache = 1s;
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    slapd_.stop();
    std::atomic<int> left = 0;
    const auto crowd = [&](int size) {
        left = size;
        for (int i = 0; i < size; ++i) {
            directory.resolve(
                "alice",
                core::Secret(fmt::format("wrong {} of {}", i, size)),
                [&](const Answer<Identity>&) { --left; }
            );
        }
    };
    settle(directory, 1);
    const auto before = directory.counters();
    crowd(12);
    ASSERT_TRUE(eventually([&] { return left == 0; }));
    const auto after = directory.counters();
    const auto each = (after.hash_us - before.hash_us) / (after.hashes - before.hashes);
    // Two at a time: after 0.8 of the time it is its turn, and after 0.5 nobody hashes first.
    crowd(static_cast<int>(2 * 3'200'000 / std::max<std::uint64_t>(each, 1)));
    std::string said;
    const auto took = timed([&] { said = outcome(ask(directory, "alice")); });
    EXPECT_TRUE(said == "ok" || took >= 4s) << said << " before its time was over";
    EXPECT_TRUE(eventually([&] { return left == 0; }));
}

TEST(Secrets, AreInNoLogNoFileAndNoText) {
    const LogFile log;
    const TemporaryFolder folder;
    std::string said;
    const std::vector<std::string> passwords{
        "password-of-alice", "a-Wr0ng-one", kServicePassword, "an0ther-service-passw0rd"};
    const auto hear = [&](const Answer<Identity>& answer) {
        said += answer ? describe(*answer)
                       : answer.error().user_text + "\n" + answer.error().operator_text + "\n";
    };
    {
        auto options = options_for(shared_slapd());
        options.cache_file = folder.path("identities");
        Directory directory(std::move(options));
        hear(ask(directory, "alice"));
        hear(ask(directory, "alice", passwords[1]));
        hear(ask(directory, "twin", passwords[1]));
        hear(ask(directory, "locked", passwords[1]));
        hear(ask(directory, "nobody", passwords[1]));
    }
    {
        auto options = options_for(shared_slapd());
        options.bind_password = core::Secret(passwords[3]);
        Directory directory(std::move(options));
        hear(ask(directory, "alice"));
    }
    {
        Relay relay(shared_slapd().port(), Relay::Manner::cut);
        auto options = options_for(shared_slapd());
        options.urls = {relay.url(), "ldaps://no-such-host.invalid"};
        Directory directory(std::move(options));
        hear(ask(directory, "alice"));
    }
    said += log.text() + read_file(folder.path("identities")) + read_file("/proc/self/cmdline") +
            read_file("/proc/self/environ");
    EXPECT_THAT(said, HasSubstr("alice")) << "something was searched";
    for (const auto& password : passwords) EXPECT_THAT(said, Not(HasSubstr(password)));
}

}  // namespace
}  // namespace uidnfs::test
