// SPDX-License-Identifier: Apache-2.0
// Rechecks of live mounts, from the timer to audit and metrics, against a real directory.
#include "plugins/observe/recheck_driver.hpp"

#include "core/log.hpp"
#include "ldap/fixture.hpp"
#include "plugins/fake_inspector.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

namespace uidnfs::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace uidnfs::plugins;
using uidnfs::plugins::testing::FakeInspector;

class ListSink final : public AuditSink {
public:
    explicit ListSink(std::vector<boost::json::object>& lines) : lines_(lines) {}
    core::Result<void> write(std::string_view line) override {
        lines_.push_back(boost::json::parse(line).as_object());
        return {};
    }
    core::Outcome<void> reopen() override { return {}; }
    std::string name() const override { return "a list"; }

private:
    std::vector<boost::json::object>& lines_;
};

class RecheckDrivers : public ::testing::Test {
protected:
    RecheckDrivers() : slapd_({people(), {}, {}}) {
        mounts_ = {mount("a", "alice", 1001), mount("b", "bob", 1002)};
    }
    void SetUp() override { core::log::set_level(core::log::Level::off); }
    void TearDown() override { core::log::set_level(core::log::Level::info); }

    static MountedVolume mount(
        const std::string& name,
        const std::string& user,
        std::uint32_t uid,
        const std::string& from = "ldap"
    ) {
        return {
            {Dialect::docker, name},
            {{100, 1}, "/m", "/c"},
            "nas1:/a",
            {uid, 2001, {}, from, user}};
    }
    ldap::Options options(std::chrono::milliseconds period = 50ms) const {
        auto options = options_for(slapd_);
        options.recheck = period;
        options.recheck_action = action_;
        options.recheck_max_percent = max_percent_;
        return options;
    }
    void start() {
        directory_ = std::make_shared<Directory>(options());
        driver_ = std::make_unique<RecheckDriver>(RecheckDriver::Deps{
            reactor_, [this] { return ++rounds_, mounts_; }, audit_, metrics_, inspector_, limits_});
        driver_->use(directory_, options());
    }
    bool run_until(const std::function<bool()>& done) {
        const auto end = std::chrono::steady_clock::now() + 20s;
        reactor_.run_until([&] { return done() || std::chrono::steady_clock::now() > end; });
        return done();
    }
    /// Also the end of the last round that began.
    bool run_rounds(int count) {
        const auto until = rounds_ + count + 1;
        return run_until([&] { return rounds_ >= until; });
    }
    std::vector<boost::json::object> lines_of(std::string_view event) const {
        std::vector<boost::json::object> found;
        for (const auto& line : lines_) {
            if (line.at("event").as_string() == event) found.push_back(line);
        }
        return found;
    }
    bool is_denied(const std::string& name) const { return inspector_.denied.contains(name); }
    void add(const std::string& user, std::uint32_t uid) {
        slapd_.change(fmt::format(
            "dn: uid={0},ou=people,dc=example,dc=com\nchangetype: add\nobjectClass: inetOrgPerson\n"
            "objectClass: posixAccount\nuid: {0}\ncn: {0}\nsn: {0}\nuidNumber: {1}\n"
            "gidNumber: 2001\nhomeDirectory: /\n",
            user,
            uid
        ));
    }
    void remove(const std::string& user) {
        slapd_.change(
            fmt::format("dn: uid={},ou=people,dc=example,dc=com\nchangetype: delete\n", user)
        );
    }

    Slapd slapd_;
    core::Reactor reactor_;
    std::vector<boost::json::object> lines_;
    AuditLog audit_{std::make_unique<ListSink>(lines_), {}};
    Metrics metrics_{{[] { return Gauges{}; }}};
    ldap::RecheckAction action_ = ldap::RecheckAction::deny;
    std::uint32_t max_percent_ = 100;
    std::vector<MountedVolume> mounts_;
    int rounds_ = 0;
    FakeInspector inspector_{reactor_};
    Denials::Limits limits_{2s, 50ms, 100ms};
    std::shared_ptr<Directory> directory_;
    std::unique_ptr<RecheckDriver> driver_;
};

TEST_F(RecheckDrivers, NothingIsToldWhileAllIsWell) {
    start();
    ASSERT_TRUE(run_rounds(2));
    EXPECT_THAT(lines_, IsEmpty());
    EXPECT_THAT(metrics_.render(), HasSubstr("\nuidnfs_lost_identities 0\n"));
    EXPECT_GE(directory_->counters().successes, 4u);
}

TEST_F(RecheckDrivers, AnIdentityThatIsGoneIsToldOnceAndNothingIsTakenAway) {
    action_ = ldap::RecheckAction::report;
    start();
    remove("alice");
    ASSERT_TRUE(run_until([&] { return !lines_.empty(); }));
    ASSERT_TRUE(run_rounds(4));
    ASSERT_EQ(lines_.size(), 1u);
    EXPECT_EQ(lines_[0].at("event"), "identity gone");
    EXPECT_EQ(lines_[0].at("volume"), "a");
    EXPECT_EQ(lines_[0].at("user"), "alice");
    EXPECT_EQ(lines_[0].at("uid"), 1001);
    EXPECT_EQ(lines_[0].at("verdict"), "gone");
    EXPECT_THAT(metrics_.render(), HasSubstr("\nuidnfs_lost_identities 1\n"));
    EXPECT_THAT(inspector_.orders, IsEmpty());
    mounts_.erase(mounts_.begin());
    ASSERT_TRUE(run_rounds(1));
    EXPECT_THAT(metrics_.render(), HasSubstr("\nuidnfs_lost_identities 0\n"));
}

TEST_F(RecheckDrivers, DenyTakesAccessAwayOnceAndGivesItBack) {
    inspector_.lost = {"report (fileid 7): 8 bytes at offset 100"};
    start();
    remove("alice");
    ASSERT_TRUE(run_until([&] { return is_denied("a"); }));
    ASSERT_TRUE(run_rounds(3));
    EXPECT_FALSE(is_denied("b"));
    EXPECT_EQ(inspector_.denied["a"], "the directory does not know user alice any more");
    EXPECT_THAT(inspector_.orders, ElementsAre("deny a"));
    ASSERT_EQ(lines_of("identity denied").size(), 1u);
    const auto line = lines_of("identity denied")[0];
    EXPECT_EQ(line.at("volume"), "a");
    EXPECT_EQ(line.at("user"), "alice");
    EXPECT_EQ(line.at("uid"), 1001);
    EXPECT_EQ(line.at("lost").as_array().at(0), "report (fileid 7): 8 bytes at offset 100");
    EXPECT_THAT(metrics_.render(), HasSubstr("\nuidnfs_denied_mounts 1\n"));
    EXPECT_THAT(metrics_.render(), HasSubstr("\nuidnfs_denials_total 1\n"));

    add("alice", 1001);
    ASSERT_TRUE(run_until([&] { return !is_denied("a"); }));
    ASSERT_TRUE(run_rounds(2));
    EXPECT_THAT(inspector_.orders, ElementsAre("deny a", "allow a"));
    ASSERT_EQ(lines_of("identity restored").size(), 1u);
    EXPECT_EQ(lines_of("identity restored")[0].at("volume"), "a");
    EXPECT_TRUE(
        lines_of("identity restored")[0].at("text").as_string().starts_with("denied until now: ")
    );
    EXPECT_THAT(metrics_.render(), HasSubstr("\nuidnfs_denied_mounts 0\n"));
}

TEST_F(RecheckDrivers, AnOrderThatIsNotAnsweredIsGivenAgain) {
    inspector_.failing = 2;
    start();
    remove("alice");
    ASSERT_TRUE(run_until([&] { return is_denied("a"); }));
    EXPECT_THAT(inspector_.orders, ElementsAre("deny a", "deny a", "deny a"));
    ASSERT_TRUE(run_rounds(2));
    EXPECT_EQ(lines_of("identity denied").size(), 1u);
}

TEST_F(RecheckDrivers, MoreThanTheLimitAtOnceIsNotTakenAway) {
    max_percent_ = 49;  // one of two is more
    start();
    remove("alice");
    ASSERT_TRUE(run_until([&] { return !lines_of("identity gone").empty(); }));
    ASSERT_TRUE(run_rounds(4));
    EXPECT_THAT(inspector_.orders, IsEmpty());
    EXPECT_THAT(lines_of("identity denied"), IsEmpty());
}

TEST_F(RecheckDrivers, AMountThatSaysItIsDeniedIsKnownAfterARestart) {
    inspector_.denied["a"] = "by the daemon before";
    start();
    driver_->listener().status_told(mounts_[0], {{"denied", "by the daemon before"}});
    EXPECT_THAT(metrics_.render(), HasSubstr("\nuidnfs_denied_mounts 1\n"));
    // Its user is there: the next round gives access back.
    ASSERT_TRUE(run_until([&] { return !is_denied("a"); }));
    EXPECT_THAT(inspector_.orders, ElementsAre("allow a"));
    ASSERT_TRUE(run_until([&] { return !lines_of("identity restored").empty(); }));
}

TEST_F(RecheckDrivers, AMountThatSaysItIsDeniedStaysSoWhileItsUserIsGone) {
    remove("alice");
    inspector_.denied["a"] = "by the daemon before";
    start();
    driver_->listener().status_told(mounts_[0], {{"denied", "by the daemon before"}});
    ASSERT_TRUE(run_rounds(4));
    EXPECT_TRUE(is_denied("a"));
    EXPECT_THAT(inspector_.orders, IsEmpty());
}

TEST_F(RecheckDrivers, AWorkerThatForgotIsToldAgain) {
    start();
    remove("alice");
    ASSERT_TRUE(run_until([&] { return is_denied("a"); }));
    ASSERT_TRUE(run_until([&] { return lines_of("identity denied").size() == 1; }));
    inspector_.denied.clear();
    const auto forgotten = [&] {
        driver_->listener().status_told(mounts_[0], {{"denied", nullptr}});
        return is_denied("a");
    };
    EXPECT_TRUE(run_until(forgotten));
}

TEST_F(RecheckDrivers, AMountThatWasMadeAnewBeginsAnew) {
    start();
    remove("alice");
    ASSERT_TRUE(run_until([&] { return is_denied("a"); }));
    driver_->listener().worker_gone(mounts_[0]);
    EXPECT_THAT(metrics_.render(), HasSubstr("\nuidnfs_denied_mounts 0\n"));
    inspector_.denied.clear();
    mounts_[0].worker.id = {200, 2};
    // Its user is still gone: that is found of the new one as well.
    EXPECT_TRUE(run_until([&] { return is_denied("a"); }));
}

TEST_F(RecheckDrivers, WhereDenyIsNotWantedAnyMoreAccessComesBack) {
    start();
    remove("alice");
    ASSERT_TRUE(run_until([&] { return is_denied("a"); }));
    action_ = ldap::RecheckAction::report;
    driver_->use(directory_, options());
    ASSERT_TRUE(run_until([&] { return !is_denied("a"); }));
    ASSERT_TRUE(run_rounds(3));
    EXPECT_FALSE(is_denied("a"));
    // Nor is one kept that a daemon before this one denied.
    inspector_.denied["b"] = "by the daemon before";
    driver_->listener().status_told(mounts_[1], {{"denied", "by the daemon before"}});
    EXPECT_TRUE(run_until([&] { return !is_denied("b"); }));
}

TEST_F(RecheckDrivers, AnotherGroupIsAChange) {
    mounts_ = {mount("a", "alice", 1001)};
    mounts_[0].identity.gid = 7;
    start();
    ASSERT_TRUE(run_until([&] { return !lines_.empty(); }));
    EXPECT_EQ(lines_[0].at("event"), "identity changed");
    EXPECT_THAT(metrics_.render(), HasSubstr("\nuidnfs_lost_identities 0\n"));
}

TEST_F(RecheckDrivers, AChangeSaysWhatItIsNowAndSoDoesTheNextOne) {
    mounts_ = {mount("a", "alice", 1001)};
    start();
    const auto becomes = [&](const char* gid, const char* now) {
        lines_.clear();
        slapd_.change(fmt::format(
            "dn: uid=alice,ou=people,dc=example,dc=com\nchangetype: modify\n"
            "replace: gidNumber\ngidNumber: {}\n",
            gid
        ));
        ASSERT_TRUE(run_until([&] { return !lines_.empty(); }));
        ASSERT_TRUE(run_rounds(2));
        ASSERT_EQ(lines_.size(), 1u);
        EXPECT_EQ(
            lines_[0].at("text").as_string(),
            fmt::format("now {}, mounted as 1001:2001 (said by {})", now, slapd_.url())
        );
    };
    becomes("2005", "1001:2005");
    becomes("2006", "1001:2006");
}

TEST_F(RecheckDrivers, DeclaredIdentitiesAreNotAskedFor) {
    mounts_ = {mount("a", "", 1001, "declared")};
    start();
    ASSERT_TRUE(run_rounds(2));
    EXPECT_EQ(directory_->counters().lookups, 0u);
}

TEST_F(RecheckDrivers, NobodyIsAskedWithoutADirectory) {
    start();
    ASSERT_TRUE(run_rounds(1));
    driver_->use(nullptr, options());
    const auto before = rounds_;
    boost::asio::steady_timer later(reactor_.io(), 300ms);
    bool is_over = false;
    later.async_wait([&](const boost::system::error_code&) { is_over = true; });
    ASSERT_TRUE(run_until([&] { return is_over; }));
    EXPECT_EQ(rounds_, before);
    driver_->use(directory_, options(0ms));
    EXPECT_EQ(rounds_, before);
    driver_->use(directory_, options());
    ASSERT_TRUE(run_rounds(1));
}

TEST_F(RecheckDrivers, ASilentServerConcludesNothingAndStopsNoEnd) {
    start();
    ASSERT_TRUE(run_rounds(1));
    slapd_.stop();
    ASSERT_TRUE(run_rounds(1));
    EXPECT_LT(timed([this] { driver_.reset(); }), 5s);
    EXPECT_THAT(lines_, IsEmpty());
}

TEST(RecheckEvents, HaveNames) {
    EXPECT_EQ(recheck_event(ldap::Verdict::gone), "identity gone");
    EXPECT_EQ(recheck_event(ldap::Verdict::disabled), "identity gone");
    EXPECT_EQ(recheck_event(ldap::Verdict::replaced), "identity gone");
    EXPECT_EQ(recheck_event(ldap::Verdict::changed), "identity changed");
    EXPECT_EQ(recheck_event(ldap::Verdict::same), "identity known again");
}

}  // namespace
}  // namespace uidnfs::test
