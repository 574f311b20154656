// SPDX-License-Identifier: Apache-2.0
// HealthWatch: whom it asks, when, and what it makes of the answers.
#include "plugins/observe/health_watch.hpp"

#include "core/log.hpp"
#include "tests/plugins/fake_inspector.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>

namespace uidnfs::plugins::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class Listener final : public StatusListener {
public:
    void status_told(const MountedVolume& volume, const boost::json::object& status) override {
        told.push_back(volume.key.name + " " + std::string(status.at("state").as_string()));
    }
    void worker_gone(const MountedVolume& volume) override {
        gone.push_back(fmt::format("{} {}", volume.key.name, volume.worker.id.pid));
    }
    std::vector<std::string> told;
    std::vector<std::string> gone;
};

class HealthWatchTest : public ::testing::Test {
protected:
    void SetUp() override { core::log::set_level(core::log::Level::off); }
    void TearDown() override {
        watch.reset();
        reactor.io().poll();
        core::log::set_level(core::log::Level::info);
    }

    static VolumeKey key(const std::string& name) { return {Dialect::docker, name}; }
    void add(const std::string& name, std::uint32_t pid = 100) {
        volumes.push_back({key(name), {{pid, 1}, "/m", "/c"}, "nas1:/a", {}});
    }
    HealthWatch::Deps deps() {
        return {
            reactor,
            inspector,
            [this] { return ++looks, volumes; },
            [this](const VolumeKey& volume, const WorkerId& worker) {
                for (const auto& each : volumes) {
                    if (each.key == volume && each.worker.id == worker) return each.stays;
                }
                return MountedVolume::Stays::no;
            },
            {&listener}};
    }
    void start(core::SteadyDuration look = 10s) {
        watch = std::make_unique<HealthWatch>(deps(), HealthWatch::Limits{50ms, look, 5ms, 4});
        watch->start();
    }
    bool run_until(const std::function<bool()>& done) {
        const auto end = std::chrono::steady_clock::now() + 10s;
        reactor.run_until([&] { return done() || std::chrono::steady_clock::now() > end; });
        return done();
    }
    void decide() {
        watch->decided({.event = Decision::Event::mount, .volume = key("any"), .reference = {}});
    }

    core::Reactor reactor;
    FakeInspector inspector{reactor};
    Listener listener;
    std::vector<MountedVolume> volumes;
    int looks = 0;
    std::unique_ptr<HealthWatch> watch;
};

TEST_F(HealthWatchTest, what_is_mounted_at_the_start_is_asked_at_once) {
    add("a");
    add("b");
    start();
    ASSERT_TRUE(run_until([&] { return listener.told.size() == 2; }));
    EXPECT_THAT(listener.told, ElementsAre("a healthy", "b healthy"));
    EXPECT_EQ(watch->count(Health::healthy), 2u);
    EXPECT_EQ(watch->find(key("c")), nullptr);
}

TEST_F(HealthWatchTest, a_new_mount_is_asked_as_soon_as_it_is_decided) {
    start();
    add("a");
    EXPECT_TRUE(inspector.asked.empty());
    decide();
    ASSERT_TRUE(run_until([&] { return listener.told.size() == 1; }));
}

TEST_F(HealthWatchTest, one_that_was_asked_already_is_asked_soon_where_something_was_done_to_it) {
    add("a");
    add("b");
    start();
    ASSERT_TRUE(run_until([&] { return listener.told.size() == 2; }));
    watch->ask_soon(key("c"));
    watch->ask_soon(key("b"));
    ASSERT_TRUE(run_until([&] { return listener.told.size() == 3; }));
    EXPECT_EQ(listener.told.back(), "b healthy");
}

TEST_F(HealthWatchTest, a_mount_that_nobody_told_of_is_found) {
    start(20ms);
    ASSERT_TRUE(run_until([&] { return looks > 1; }));
    EXPECT_TRUE(inspector.asked.empty());
    add("adopted");
    ASSERT_TRUE(run_until([&] { return listener.told.size() == 1; }));
}

TEST_F(HealthWatchTest, a_burst_of_decisions_is_one_look_and_the_last_is_not_missed) {
    start();
    ASSERT_TRUE(run_until([&] { return looks == 1; }));
    for (int i = 0; i < 100; ++i) {
        decide();
        reactor.io().poll();
    }
    add("a");
    decide();
    ASSERT_TRUE(run_until([&] { return listener.told.size() == 1; }));
    EXPECT_LT(looks, 20);
}

TEST_F(HealthWatchTest, a_few_are_asked_at_a_time) {
    for (int i = 0; i < 100; ++i) add(fmt::format("v{}", i));
    start();
    ASSERT_TRUE(run_until([&] { return listener.told.size() == 100; }));
    EXPECT_EQ(inspector.at_once, 4u);
    EXPECT_THAT(std::set(inspector.asked.begin(), inspector.asked.end()), SizeIs(100));
}

TEST_F(HealthWatchTest, one_that_is_silent_does_not_stop_the_others) {
    add("mute");
    for (int i = 0; i < 20; ++i) add(fmt::format("v{}", i));
    start();
    ASSERT_TRUE(run_until([&] { return listener.told.size() == 20; }));
    ASSERT_TRUE(run_until([&] { return watch->count(Health::degraded) == 1; }));
    EXPECT_EQ(watch->find(key("mute"))->health(), Health::degraded);
    EXPECT_EQ(watch->count(Health::healthy), 20u);
}

TEST_F(HealthWatchTest, what_a_worker_says_is_kept) {
    inspector.answers["a"] = R"({"state":"stale","reason":"server nas1 has not answered for 9 s"})";
    add("a");
    start();
    ASSERT_TRUE(run_until([&] { return !listener.told.empty(); }));
    EXPECT_EQ(watch->find(key("a"))->reason(), "server nas1 has not answered for 9 s");
    EXPECT_EQ(watch->count(Health::stale), 1u);
}

TEST_F(HealthWatchTest, an_unmounted_one_is_forgotten_and_told) {
    add("a", 7);
    start();
    ASSERT_TRUE(run_until([&] { return !listener.told.empty(); }));
    volumes.clear();
    decide();
    ASSERT_TRUE(run_until([&] { return !listener.gone.empty(); }));
    EXPECT_THAT(listener.gone, ElementsAre("a 7"));
    EXPECT_EQ(watch->find(key("a")), nullptr);
}

TEST_F(HealthWatchTest, one_that_is_being_unmounted_is_not_called_failed) {
    add("a", 0);
    add("b", 0);
    add("c", 7);
    inspector.answers["c"] = R"({"state":"degraded","reason":"unmounted; it is being ended"})";
    volumes.front().stays = volumes.back().stays = MountedVolume::Stays::no;
    start();
    ASSERT_TRUE(run_until([&] { return inspector.asked.size() == 3; }));
    ASSERT_TRUE(run_until([&] { return watch->count(Health::failed) == 1; }));
    reactor.io().poll();
    EXPECT_EQ(watch->find(key("a"))->health(), Health::healthy);
    EXPECT_EQ(watch->find(key("b"))->health(), Health::failed);
    EXPECT_EQ(watch->find(key("c"))->health(), Health::healthy);
}

TEST_F(HealthWatchTest, the_log_says_of_which_share_it_speaks) {
    add("a");
    start();
    ASSERT_TRUE(run_until([&] { return !listener.told.empty(); }));
    inspector.answers["a"] = R"({"state":"stale","reason":"silent"})";
    core::log::set_level(core::log::Level::info);
    ::testing::internal::CaptureStderr();
    watch->ask_soon(key("a"));
    EXPECT_TRUE(run_until([&] { return watch->count(Health::stale) == 1; }));
    inspector.answers.clear();
    watch->ask_soon(key("a"));
    EXPECT_TRUE(run_until([&] { return watch->count(Health::healthy) == 1; }));
    const auto log = ::testing::internal::GetCapturedStderr();
    EXPECT_THAT(log, HasSubstr("volume a (nas1:/a): stale: silent\n"));
    EXPECT_THAT(log, HasSubstr("volume a (nas1:/a): healthy again\n"));
}

TEST_F(HealthWatchTest, where_a_server_of_many_mounts_fails_the_mounts_are_not_listed_for_each) {
    for (int i = 0; i < 200; ++i) {
        const auto name = fmt::format("v{}", i);
        inspector.answers[name] = R"({"state":"stale","reason":"server nas1 is silent"})";
        add(name);
    }
    start();
    ASSERT_TRUE(run_until([&] { return watch->count(Health::stale) == 200; }));
    EXPECT_EQ(looks, 1);
}

TEST_F(HealthWatchTest, one_that_still_flushes_to_a_silent_server_says_so_at_once) {
    add("a", 7);
    start();
    ASSERT_TRUE(run_until([&] { return !listener.told.empty(); }));
    volumes.front().stays = MountedVolume::Stays::detached;
    inspector.answers["a"] = R"({"state":"stale","reason":"server nas1 has not answered for 9 s"})";
    watch->decided({.event = Decision::Event::abort, .volume = key("a"), .reference = {}});
    ASSERT_TRUE(run_until([&] { return listener.told.size() == 2; }));
    EXPECT_EQ(watch->find(key("a"))->reason(), "server nas1 has not answered for 9 s");
    EXPECT_EQ(watch->count(Health::stale), 1u);
}

TEST_F(HealthWatchTest, another_worker_of_the_same_volume_begins_anew) {
    inspector.answers["a"] = R"({"state":"failed","reason":"crashed"})";
    add("a", 7);
    start();
    ASSERT_TRUE(run_until([&] { return watch->count(Health::failed) == 1; }));
    inspector.answers.clear();
    volumes.clear();
    add("a", 8);
    decide();
    ASSERT_TRUE(run_until([&] { return listener.told.size() == 2; }));
    EXPECT_THAT(listener.gone, ElementsAre("a 7"));
    EXPECT_EQ(watch->find(key("a"))->health(), Health::healthy);
}

TEST_F(HealthWatchTest, a_late_answer_of_the_worker_before_says_nothing) {
    inspector.answers["a"] = R"({"state":"failed","reason":"old"})";
    inspector.takes = 30ms;
    add("a", 7);
    start();
    ASSERT_TRUE(run_until([&] { return inspector.asked.size() == 1; }));
    volumes.clear();
    add("a", 8);
    decide();
    ASSERT_TRUE(run_until([&] { return inspector.asked.size() == 2; }));
    inspector.answers.clear();
    ASSERT_TRUE(run_until([&] { return !listener.told.empty(); }));
    EXPECT_THAT(listener.told, ElementsAre("a healthy"));
}

TEST_F(HealthWatchTest, a_keeper_hears_at_once_what_of_it_is_written) {
    std::uint64_t written = 0;
    add("a");
    auto with_audit = deps();
    with_audit.written = [&](const WorkerId&) { return written; };
    watch = std::make_unique<HealthWatch>(
        std::move(with_audit), HealthWatch::Limits{50ms, 10s, 5ms, 4}
    );
    inspector.takes = 20ms;
    watch->start();
    ASSERT_TRUE(run_until([&] { return inspector.asked.size() == 1; }));
    written = 3;
    ASSERT_TRUE(run_until([&] { return listener.told.size() == 2; }));
    EXPECT_THAT(inspector.written_told, ElementsAre(0u, 3u));
}

TEST_F(HealthWatchTest, who_is_about_to_end_is_asked_once_more) {
    bool is_over = false;
    const auto ask_last = [&](const std::string& name) -> core::Task<> {
        auto last = watch->ask_last(key(name));
        co_await last;
        is_over = true;
    };
    start();
    add("new");
    core::spawn(ask_last("new"));
    ASSERT_TRUE(run_until([&] { return is_over; }));
    EXPECT_THAT(listener.told, ElementsAre("new healthy"));
    is_over = false;
    core::spawn(ask_last("new"));
    ASSERT_TRUE(run_until([&] { return is_over; }));
    EXPECT_THAT(listener.told, SizeIs(2));
}

TEST_F(HealthWatchTest, who_is_about_to_end_and_does_not_answer_is_not_waited_for) {
    add("mute");
    start();
    ASSERT_TRUE(run_until([&] { return watch->count(Health::degraded) == 1; }));
    const auto asked = inspector.asked.size();
    auto last = watch->ask_last(key("mute"));
    core::spawn(std::move(last));
    EXPECT_EQ(inspector.asked.size(), asked);
}

TEST_F(HealthWatchTest, it_may_end_while_somebody_is_asked) {
    add("mute");
    start();
    ASSERT_TRUE(run_until([&] { return !inspector.asked.empty(); }));
    watch.reset();
    boost::asio::steady_timer later(reactor.io(), 100ms);
    bool is_over = false;
    later.async_wait([&](const boost::system::error_code&) { is_over = true; });
    ASSERT_TRUE(run_until([&] { return is_over; }));
    EXPECT_TRUE(listener.told.empty());
}

}  // namespace
}  // namespace uidnfs::plugins::testing
