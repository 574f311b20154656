// SPDX-License-Identifier: Apache-2.0
// Rechecks of live mounts, from the timer to audit and metrics, against a real directory.
#include "plugins/observe/recheck_driver.hpp"

#include "core/log.hpp"
#include "ldap/fixture.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

namespace uidnfs::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace uidnfs::plugins;

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

class RecheckDrivers : public testing::Test {
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
        options.recheck_action = ldap::RecheckAction::deny;
        options.recheck_max_percent = 100;
        return options;
    }
    void start() {
        directory_ = std::make_shared<Directory>(options());
        driver_ = std::make_unique<RecheckDriver>(RecheckDriver::Deps{
            reactor_, [this] { return ++rounds_, mounts_; }, audit_, metrics_});
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
    std::vector<MountedVolume> mounts_;
    int rounds_ = 0;
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
    mounts_.erase(mounts_.begin());
    ASSERT_TRUE(run_rounds(1));
    EXPECT_THAT(metrics_.render(), HasSubstr("\nuidnfs_lost_identities 0\n"));
}

TEST_F(RecheckDrivers, AnotherGroupIsAChange) {
    mounts_ = {mount("a", "alice", 1001)};
    mounts_[0].identity.gid = 7;
    start();
    ASSERT_TRUE(run_until([&] { return !lines_.empty(); }));
    EXPECT_EQ(lines_[0].at("event"), "identity changed");
    EXPECT_THAT(metrics_.render(), HasSubstr("\nuidnfs_lost_identities 0\n"));
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
