// SPDX-License-Identifier: Apache-2.0
#include "fuse/caller_state.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <string>

namespace uidnfs::fuse {
namespace {

constexpr std::uint64_t bit(int signal) { return std::uint64_t{1} << (signal - 1); }

/// A line of /proc/TID/stat with the two fields that matter.
std::string stat_line(const std::string& name, std::uint64_t flags, std::uint64_t pending) {
    std::string line = "77 (" + name + ") S";
    for (int field = 4; field <= 52; ++field) {
        line += ' ' + std::to_string(field == 9 ? flags : field == 31 ? pending : 5);
    }
    return line + '\n';
}

SignalSets pending(std::uint64_t set) { return {set, 0, 0, 0}; }

std::string proc_text(pid_t pid, const char* file) {
    std::ifstream in("/proc/" + std::to_string(pid) + '/' + file);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

TEST(CallerState, FieldsOfStatAreCountedAfterTheName) {
    const auto stat = parse_stat(stat_line("cat", 0x400100, bit(SIGKILL)));
    ASSERT_TRUE(stat);
    EXPECT_EQ(stat->flags, 0x400100u);
    EXPECT_EQ(stat->pending, bit(SIGKILL));
}

TEST(CallerState, ANameCannotPretendToBeTheRestOfTheLine) {
    const auto stat = parse_stat(stat_line(") R 1 1 1 1 1 4 (x", 0, 0));
    ASSERT_TRUE(stat);
    EXPECT_EQ(stat->flags, 0u);
}

TEST(CallerState, TextThatIsNoStatIsNotUnderstood) {
    EXPECT_FALSE(parse_stat(""));
    EXPECT_FALSE(parse_stat("77 (cat"));
    EXPECT_FALSE(parse_stat("77 (cat) S 1 2 3"));
    EXPECT_FALSE(parse_stat(stat_line("cat", 0, 0).replace(11, 1, "x").substr(0, 20)));
}

TEST(CallerState, StatusNeedsAllSets) {
    EXPECT_FALSE(parse_status(""));
    EXPECT_FALSE(parse_status("\nSigPnd:\t0000000000000100\n"));
    EXPECT_FALSE(parse_status("x\nSigPnd:\tzz\nShdPnd:\t0\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0\n"));
}

TEST(CallerState, SignalsOfThreadAndProcessArePending) {
    const auto sets = parse_status(
        "Name:\tx\nSigPnd:\t0000000000000001\nShdPnd:\t0000000000000100\nSigBlk:"
        "\t0000000000000002\n"
        "SigIgn:\t0000000000000004\nSigCgt:\t8000000000000000\nCapInh:\t0\n"
    );
    ASSERT_TRUE(sets);
    EXPECT_EQ(sets->pending, 0x101u);
    EXPECT_EQ(sets->blocked, 2u);
    EXPECT_EQ(sets->ignored, 4u);
    EXPECT_EQ(sets->caught, std::uint64_t{1} << 63);
}

TEST(CallerState, NothingPendingIsAlive) {
    EXPECT_EQ(judge(TaskStat{0x400100, 0}), CallerState::alive);
    EXPECT_EQ(judge(TaskStat{}, SignalSets{}), CallerState::alive);
}

TEST(CallerState, SigkillShowsInStatAlone) {
    EXPECT_EQ(judge(TaskStat{0, bit(SIGKILL)}), CallerState::killed);
    EXPECT_EQ(judge(TaskStat{0, bit(SIGUSR1)}), CallerState::alive);
}

TEST(CallerState, SigkillIsFatalWhateverTheSetsSay) {
    const SignalSets all{bit(SIGKILL), bit(SIGKILL), bit(SIGKILL), bit(SIGKILL)};
    EXPECT_EQ(judge(TaskStat{}, all), CallerState::killed);
}

TEST(CallerState, ExitIsToldFromDeathBySignal) {
    EXPECT_EQ(judge(TaskStat{0x4, 0}), CallerState::exiting);
    EXPECT_EQ(judge(TaskStat{0x4, bit(SIGKILL)}), CallerState::killed);
    EXPECT_EQ(judge(TaskStat{0x4, 0}, SignalSets{}), CallerState::exiting);
}

TEST(CallerState, ASignalKillsUnlessHandledIgnoredOrBlocked) {
    EXPECT_EQ(judge(TaskStat{}, pending(bit(SIGQUIT))), CallerState::killed);
    EXPECT_EQ(judge(TaskStat{}, {bit(SIGQUIT), bit(SIGQUIT), 0, 0}), CallerState::alive);
    EXPECT_EQ(judge(TaskStat{}, {bit(SIGQUIT), 0, bit(SIGQUIT), 0}), CallerState::alive);
    EXPECT_EQ(judge(TaskStat{}, {bit(SIGQUIT), 0, 0, bit(SIGQUIT)}), CallerState::alive);
    EXPECT_EQ(judge(TaskStat{}, pending(bit(40))), CallerState::killed);
}

TEST(CallerState, SignalsThatStopOrAreIgnoredByDefaultKillNobody) {
    for (const int signal :
         {SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU}) {
        EXPECT_EQ(judge(TaskStat{}, pending(bit(signal))), CallerState::alive) << signal;
    }
}

TEST(CallerState, TheRealProcIsUnderstood) {
    const auto stat = parse_stat(proc_text(::getpid(), "stat"));
    const auto status = parse_status(proc_text(::getpid(), "status"));
    ASSERT_TRUE(stat && status);
    EXPECT_EQ(judge(*stat, *status), CallerState::alive);
}

TEST(CallerState, ARealProcessThatHasExitedShowsIt) {
    const auto child = ::fork();
    if (child == 0) ::_exit(0);
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
    const auto stat = parse_stat(proc_text(child, "stat"));
    ASSERT_TRUE(stat);
    EXPECT_EQ(judge(*stat), CallerState::exiting);
    ::waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace uidnfs::fuse
