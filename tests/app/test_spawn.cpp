// SPDX-License-Identifier: Apache-2.0
// The spawned program is this test itself: gtest_main with arguments that choose what it does.

#include "app/names.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <chrono>
#include <string>

namespace uidnfs::app {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// Runs inside the child: says on the channel what it finds.
TEST(SpawnedChild, DISABLED_TellsWhatItHas) {
    const Channel channel{core::Fd(kChannelDescriptor)};
    Message message("found");
    message.add("session", static_cast<std::uint64_t>(::getsid(0)));
    message.add("environment", environ[0] ? environ[0] : "");
    std::string open;
    for (int fd = 0; fd < 64; ++fd) {
        char target[256] = {};
        const auto link = "/proc/self/fd/" + std::to_string(fd);
        if (::readlink(link.c_str(), target, sizeof target - 1) > 0) {
            open += std::to_string(fd) + ":" + target + " ";
        }
    }
    message.add("open", open);
    for (const int number : {SIGHUP, SIGUSR1}) {
        struct sigaction action {};
        ASSERT_EQ(::sigaction(number, nullptr, &action), 0);
        if (action.sa_handler == SIG_IGN) message.add("ignored", ::sigabbrev_np(number));
    }
    ASSERT_TRUE(channel.send(message));
}

TEST(SpawnedChild, DISABLED_Hangs) { ::pause(); }

class SpawnTest : public testing::Test {
protected:
    Child spawn(const std::string& role) {
        auto child = spawn_self(
            {"child",
             "--gtest_also_run_disabled_tests",
             "--gtest_filter=SpawnedChild.DISABLED_" + role},
            ends_.second.fd(),
            Output::none
        );
        EXPECT_TRUE(child);
        ends_.second.close();
        return std::move(*child);
    }

    std::pair<Channel, Channel> ends_ = Channel::make_pair().value();
};

TEST_F(SpawnTest, GivesNothingButTheChannel) {
    const core::Fd inheritable(::dup(0));  // without close-on-exec
    auto child = spawn("TellsWhatItHas");
    const auto received = ends_.first.receive_until(std::chrono::steady_clock::now() + 10s);
    ASSERT_TRUE(received);
    const auto& message = received->message;
    EXPECT_EQ(message.number("session"), static_cast<std::uint64_t>(child.pid()));
    EXPECT_EQ(message.text("environment"), "");
    EXPECT_THAT(
        std::string(message.text("open")),
        testing::MatchesRegex("0:/dev/null 1:/dev/null 2:/dev/null 3:socket:\\[[0-9]+\\] ")
    );
    pollfd wait{child.pidfd(), POLLIN, 0};
    ASSERT_EQ(::poll(&wait, 1, 10'000), 1);
    EXPECT_EQ(child.try_reap(), "exit status 0");
    EXPECT_EQ(child.exit_status(), 0);
}

TEST_F(SpawnTest, IgnoresTheSignalToReadAgainWhereWeDoAndNoOther) {
    const auto hangup = ::signal(SIGHUP, SIG_IGN);
    const auto other = ::signal(SIGUSR1, SIG_IGN);
    const auto child = spawn("TellsWhatItHas");
    ::signal(SIGHUP, hangup);
    ::signal(SIGUSR1, other);
    const auto received = ends_.first.receive_until(std::chrono::steady_clock::now() + 10s);
    ASSERT_TRUE(received);
    EXPECT_THAT(received->message.all("ignored"), testing::ElementsAre("HUP"));
}

TEST_F(SpawnTest, TellsWhetherItWasKilled) {
    auto killed = spawn("Hangs");
    killed.kill();
    EXPECT_TRUE(killed.was_killed());
    ends_ = Channel::make_pair().value();
    auto crashed = spawn("Hangs");
    ::kill(crashed.pid(), SIGSEGV);
    pollfd wait{crashed.pidfd(), POLLIN, 0};
    ASSERT_EQ(::poll(&wait, 1, 10'000), 1);
    EXPECT_TRUE(crashed.try_reap());
    EXPECT_FALSE(crashed.was_killed());
}

TEST_F(SpawnTest, KillsAndTellsHowItEnded) {
    auto child = spawn("Hangs");
    EXPECT_EQ(child.try_reap(), std::nullopt);
    child.kill();
    ASSERT_TRUE(child.try_reap());
    EXPECT_THAT(*child.try_reap(), HasSubstr("killed by signal 9"));
    EXPECT_EQ(child.exit_status(), std::nullopt);
}

/// As the worker of a keeper that came in the place of another one.
TEST_F(SpawnTest, SomebodyElsesChildIsSeenToEnd) {
    auto child = spawn("Hangs");
    // Of a process that is reaped elsewhere the kernel says what it says of one that never was
    // ours.
    Child other(child.pid(), control::open_pidfd(child.pid()).value());
    const auto parent = control::open_pidfd(::getppid());
    ASSERT_TRUE(parent);
    Child foreign(::getppid(), core::Fd(::dup(parent->get())));
    EXPECT_EQ(foreign.try_reap(), std::nullopt);  // it lives, though it is not ours to wait for
    child.kill();
    EXPECT_EQ(other.try_reap(), "unknown end");
    EXPECT_EQ(other.exit_status(), std::nullopt);
}

}  // namespace
}  // namespace uidnfs::app
