// SPDX-License-Identifier: Apache-2.0
// What an answer costs the directory, as the server itself counts it.
#include "ldap/fixture.hpp"

#include <future>

namespace uidnfs::test {
namespace {

using ldap::Origin;

class RoundTrips : public testing::Test {
protected:
    void SetUp() override {
        before_ = total();
        const auto again = total();
        own_ = again - before_;
        before_ = again;
    }

    /// Requests that wait for an answer, since the test began, without those of this question.
    std::uint64_t served() {
        const auto now = total();
        served_ += now - before_ - own_;
        before_ = now;
        return served_;
    }

    static ldap::Options options() {
        auto options = options_for(shared_slapd());
        options.user_filter = "(&(objectClass=posixAccount)(uid={username}))";
        options.group_base = "ou=groups,dc=example,dc=com";
        options.threads = 1;
        return options;
    }

    /// Binds and searches of `directory` at the moment when alice's answer is there. The connection
    /// becomes the service's again after that, and before the only thread asks anything else.
    static std::uint64_t trips_at_answer(Directory& directory) {
        std::promise<std::uint64_t> trips;
        directory.resolve(
            "alice",
            core::Secret("password-of-alice"),
            [&](const Answer<Identity>& answer) {
                EXPECT_EQ(outcome(answer), "ok");
                const auto counters = directory.counters();
                trips.set_value(counters.binds + counters.searches);
            }
        );
        return trips.get_future().get();
    }

    std::uint64_t served_ = 0;

private:
    static std::uint64_t total() {
        std::uint64_t all = 0;
        for (const auto* kind : {"Bind", "Search", "Extended"}) {
            all += shared_slapd().operations(kind);
        }
        return all;
    }

    std::uint64_t before_ = 0;
    std::uint64_t own_ = 0;
};

TEST_F(RoundTrips, AreThoseThatTheProtocolNeeds) {
    auto options = RoundTrips::options();
    options.cache = options.cache_stale = 0ms;
    Directory directory(std::move(options));
    EXPECT_EQ(trips_at_answer(directory), 4u)
        << "the service's bind, the user, its groups, the user's bind";
    for (std::uint64_t i = 1; i <= 2; ++i) {
        EXPECT_EQ(trips_at_answer(directory), 4 + i * 4) << "one bind as the service, and three";
    }
    EXPECT_TRUE(eventually([&] { return directory.counters().binds == 7; }));
    EXPECT_TRUE(eventually([&] { return served() >= 13; }));
    EXPECT_EQ(served_, 13u) << "the server saw no more than what is counted";
    EXPECT_EQ(directory.counters().connects, 1u);
}

TEST_F(RoundTrips, StartTlsIsOneMore) {
    auto options = RoundTrips::options();
    options.start_tls = true;
    options.cache = options.cache_stale = 0ms;
    Directory directory(std::move(options));
    EXPECT_EQ(trips_at_answer(directory), 4u);
    EXPECT_TRUE(eventually([&] { return served() >= 6; }));
    EXPECT_EQ(served_, 6u) << "StartTLS, those four, and the service's bind after the answer";
}

TEST_F(RoundTrips, NoneForACachedIdentity) {
    Directory directory(options());
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
    ASSERT_TRUE(eventually([&] { return ask(directory, "alice")->origin == Origin::cache; }));
    ASSERT_TRUE(eventually([&] { return served() % 4 == 1; })) << "the last bind is still to come";
    const auto before = served_;
    const auto hashes = directory.counters().hashes;
    for (int i = 0; i < 5; ++i) EXPECT_EQ(ask(directory, "alice")->origin, Origin::cache);
    EXPECT_EQ(served(), before);
    EXPECT_EQ(directory.counters().hashes, hashes + 5) << "one each";
    EXPECT_EQ(directory.counters().connects, 1u);
}

}  // namespace
}  // namespace uidnfs::test
