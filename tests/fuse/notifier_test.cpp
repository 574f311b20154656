// SPDX-License-Identifier: Apache-2.0
#include "fuse/notifier.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace uidnfs::fuse {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

/// FUSE_NOTIFY_INC_EPOCH of Linux 6.16; Debian 12's header is older.
constexpr std::int32_t kIncEpoch = 8;

class NotifierTest : public ::testing::Test {
protected:
    NotifierTest() {
        std::signal(SIGPIPE, SIG_IGN);
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
        kernel_.reset(ends[0]);
        device_.reset(ends[1]);
    }

    core::Fd device() { return core::Fd(::dup(device_.get())); }
    /// From now on the kernel keeps whoever notifies it.
    void block() {
        const std::array<char, 4096> rubbish{};
        while (::send(device_.get(), rubbish.data(), rubbish.size(), MSG_DONTWAIT) > 0) ++rubbish_;
    }
    void unblock() {
        std::array<char, 4096> rubbish;
        for (; rubbish_ > 0; --rubbish_) {
            ASSERT_GT(::read(kernel_.get(), rubbish.data(), rubbish.size()), 0);
        }
    }
    void close_kernel() { kernel_.reset(); }
    /// "inode 7 0+0" or "entry 1 name"; waits for it.
    std::string next() {
        std::array<char, 4096> message{};
        const auto got = ::read(kernel_.get(), message.data(), message.size());
        fuse_out_header header{};
        std::memcpy(&header, message.data(), sizeof header);
        EXPECT_EQ(header.len, static_cast<std::uint32_t>(got));
        EXPECT_EQ(header.unique, 0u);
        const auto* body = message.data() + sizeof header;
        if (header.error == FUSE_NOTIFY_INVAL_INODE) {
            fuse_notify_inval_inode_out out{};
            std::memcpy(&out, body, sizeof out);
            return "inode " + std::to_string(out.ino) + ' ' + std::to_string(out.off) + '+' +
                   std::to_string(out.len);
        }
        if (header.error == kIncEpoch) return "all names";
        EXPECT_EQ(header.error, FUSE_NOTIFY_INVAL_ENTRY);
        fuse_notify_inval_entry_out out{};
        std::memcpy(&out, body, sizeof out);
        const std::string name(body + sizeof out);
        EXPECT_EQ(name.size(), out.namelen);
        return "entry " + std::to_string(out.parent) + ' ' + name;
    }

private:
    core::Fd kernel_;
    core::Fd device_;
    int rubbish_ = 0;
};

void wait_for(const std::function<bool()>& done) {
    for (int i = 0; i < 5000 && !done(); ++i) std::this_thread::sleep_for(1ms);
    ASSERT_TRUE(done());
}

TEST_F(NotifierTest, TellsWhatToForget) {
    Notifier notifier(device());
    notifier.inode(7, 0, 0);
    EXPECT_EQ(next(), "inode 7 0+0");
    notifier.inode(8, 4096, 8192);
    EXPECT_EQ(next(), "inode 8 4096+8192");
    notifier.inode(9, -1, 0);
    EXPECT_EQ(next(), "inode 9 -1+0");
    notifier.entry(1, "name");
    EXPECT_EQ(next(), "entry 1 name");
    EXPECT_EQ(notifier.stop(10s), Notifier::Stopped::ended);
    EXPECT_EQ(notifier.status().sent, 4u);
}

TEST_F(NotifierTest, PagesArePendingUntilTheKernelHasTakenThem) {
    block();
    Notifier notifier(device());
    EXPECT_FALSE(notifier.is_pending(7));
    notifier.inode(6, 0, 0);
    notifier.inode(7, 0, 0);
    notifier.entry(8, "name");
    wait_for([&] { return notifier.status().queued == 2; });
    EXPECT_TRUE(notifier.is_pending(6)) << "the thread is in the kernel with it";
    EXPECT_TRUE(notifier.is_pending(7));
    EXPECT_FALSE(notifier.is_pending(8)) << "a name has no pages";
    unblock();
    wait_for([&] { return !notifier.is_pending(6) && !notifier.is_pending(7); });
}

TEST_F(NotifierTest, PagesThatTheKernelKeepsAreNotWaitedForWithoutEnd) {
    block();
    Notifier notifier(device());
    notifier.inode(7, 0, 0);
    core::Reactor reactor;
    bool is_over = false;
    const auto wait = [&](fs::InodeId id) -> core::Task<void> {
        auto gone = notifier.pages_gone(reactor, id);
        co_await gone;
        is_over = true;
    };
    core::spawn(wait(8));
    EXPECT_TRUE(is_over) << "of others nothing is pending";
    is_over = false;
    const auto begun_at = std::chrono::steady_clock::now();
    core::spawn(wait(7));
    reactor.run_until([&] { return is_over; });
    EXPECT_GE(std::chrono::steady_clock::now() - begun_at, 900ms);
    EXPECT_TRUE(notifier.is_pending(7));
    unblock();
}

TEST_F(NotifierTest, WithoutNotificationsThereIsNothingToStop) {
    Notifier notifier(device());
    EXPECT_EQ(notifier.stop(0ms), Notifier::Stopped::ended);
    notifier.inode(7, 0, 0);
    EXPECT_EQ(notifier.status().queued, 0u);
}

TEST_F(NotifierTest, WhatWaitsForOneInodeBecomesOne) {
    block();
    Notifier notifier(device());
    notifier.inode(1, 0, 0);
    wait_for([&] { return notifier.status().queued == 0; });  // the thread is in the kernel with it
    notifier.inode(7, -1, 0);
    notifier.inode(7, 8192, 4096);
    notifier.inode(7, 4096, 4096);
    notifier.inode(8, 4096, 4096);
    notifier.inode(8, 0, 0);
    notifier.inode(9, -1, 0);
    notifier.inode(9, -1, 0);
    notifier.entry(1, "name");
    notifier.entry(1, "name");
    notifier.entry(2, "name");
    EXPECT_EQ(notifier.status().merged, 5u);
    unblock();
    const std::vector<std::string> seen{next(), next(), next(), next(), next(), next()};
    EXPECT_THAT(
        seen,
        ElementsAre(
            "inode 1 0+0",
            "inode 7 4096+8192",
            "inode 8 0+0",
            "inode 9 -1+0",
            "entry 1 name",
            "entry 2 name"
        )
    );
    EXPECT_EQ(notifier.stop(10s), Notifier::Stopped::ended);
}

TEST_F(NotifierTest, AFullQueueGivesNamesUpBeforePages) {
    block();
    Notifier notifier(device(), 3);
    notifier.inode(1, 0, 0);
    wait_for([&] { return notifier.status().queued == 0; });
    notifier.entry(1, "a");
    notifier.entry(1, "b");
    notifier.entry(1, "c");
    notifier.entry(1, "d");
    notifier.inode(2, 0, 0);
    EXPECT_EQ(notifier.status().queued, 3u);
    EXPECT_EQ(notifier.status().dropped, 2u);
    unblock();
    const std::vector<std::string> seen{next(), next(), next(), next()};
    EXPECT_THAT(seen, ElementsAre("inode 1 0+0", "inode 2 0+0", "entry 1 c", "entry 1 d"));
    notifier.stop(10s);
}

TEST_F(NotifierTest, PagesAreNeverGivenUp) {
    block();
    Notifier notifier(device(), 2);
    notifier.inode(1, 0, 0);
    wait_for([&] { return notifier.status().queued == 0; });
    for (fs::InodeId id = 2; id < 6; ++id) notifier.inode(id, 4096, 0);
    notifier.inode(6, -1, 0);
    notifier.entry(1, "a");
    EXPECT_EQ(notifier.status().queued, 4u);
    EXPECT_EQ(notifier.status().dropped, 2u) << "attributes and a name";
    unblock();
    const std::vector<std::string> seen{next(), next(), next(), next(), next()};
    EXPECT_THAT(
        seen,
        ElementsAre(
            "inode 1 0+0", "inode 2 4096+0", "inode 3 4096+0", "inode 4 4096+0", "inode 5 4096+0"
        )
    );
}

std::size_t threads() {
    std::size_t count = 0;
    for (const auto& each : std::filesystem::directory_iterator("/proc/self/task")) {
        count += each.path().empty() ? 0 : 1;
    }
    return count;
}

/// Once those of other tests have ended, and with those of a sanitizer.
std::size_t threads_before() {
    std::thread([] {}).join();
    std::size_t count = 0;
    for (auto now = threads(); now != count; now = threads()) {
        count = now;
        std::this_thread::sleep_for(20ms);
    }
    return count;
}

TEST_F(NotifierTest, WhatTheKernelKeepsDoesNotKeepOthers) {
    const auto before = threads_before();
    block();
    Notifier notifier(device(), 100, 30ms);
    notifier.inode(1, 0, 0);
    notifier.inode(2, 0, 0);
    notifier.entry(1, "a");
    notifier.entry(1, "b");
    notifier.entry(2, "c");
    wait_for([&] { return notifier.status().queued == 1; });
    EXPECT_TRUE(notifier.is_pending(1));
    EXPECT_TRUE(notifier.is_pending(2));
    // What concerns the same pages, or the lock of the same directory, waits for it.
    notifier.inode(2, 4096, 4096);
    std::this_thread::sleep_for(150ms);
    EXPECT_EQ(notifier.status().queued, 2u);
    EXPECT_EQ(threads() - before, 5u) << "four that are kept, and one that would go on";
    unblock();
    std::multiset<std::string> seen;
    for (int i = 0; i < 6; ++i) seen.insert(next());
    EXPECT_THAT(
        seen,
        ElementsAre(
            "entry 1 a", "entry 1 b", "entry 2 c", "inode 1 0+0", "inode 2 0+0", "inode 2 4096+4096"
        )
    );
    wait_for([&] { return threads() == before + 1; });
    notifier.inode(3, 0, 0);
    EXPECT_EQ(next(), "inode 3 0+0");
    EXPECT_EQ(notifier.stop(10s), Notifier::Stopped::ended);
    EXPECT_EQ(notifier.status().sent, 7u);
}

TEST_F(NotifierTest, TheKernelKeepsEightThreadsAtMost) {
    const auto before = threads_before();
    block();
    {
        Notifier notifier(device(), 100, 10ms);
        for (fs::InodeId id = 1; id <= 20; ++id) notifier.inode(id, 0, 0);
        wait_for([&] { return notifier.status().queued == 12; });
        std::this_thread::sleep_for(100ms);
        EXPECT_EQ(notifier.status().queued, 12u);
        EXPECT_EQ(threads() - before, 8u);
        EXPECT_EQ(notifier.stop(20ms), Notifier::Stopped::stuck);
    }
    unblock();
    wait_for([&] { return threads() == before; });
}

TEST_F(NotifierTest, OneThatIsQuickIsAloneAgainSoon) {
    const auto before = threads_before();
    Notifier notifier(device(), 100, 10ms);
    for (int round = 0; round < 200; ++round) {
        notifier.inode(static_cast<fs::InodeId>(round), 0, 0);
        notifier.inode(static_cast<fs::InodeId>(1000 + round), 0, 0);
        next();
        next();
        EXPECT_LE(threads() - before, 2u);
    }
    wait_for([&] { return threads() == before + 1; });
}

TEST_F(NotifierTest, AThreadThatTheKernelKeepsHoldsNobodyUp) {
    block();
    {
        Notifier notifier(device());
        notifier.inode(1, 0, 0);
        wait_for([&] { return notifier.status().queued == 0; });
        notifier.inode(2, 0, 0);
        const auto start = std::chrono::steady_clock::now();
        EXPECT_EQ(notifier.stop(20ms), Notifier::Stopped::stuck);
        EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
        EXPECT_EQ(notifier.status().queued, 0u);
    }
    unblock();
    EXPECT_EQ(next(), "inode 1 0+0");  // it lived on and has now ended
}

TEST_F(NotifierTest, AllNamesAreForgottenAtOnceAndWithoutTheThread) {
    Notifier notifier(device());
    notifier.all_names();
    EXPECT_EQ(next(), "all names");
    EXPECT_EQ(notifier.status().sent, 0u);
}

TEST_F(NotifierTest, AMountThatIsGoneIsNoError) {
    Notifier notifier(device());
    close_kernel();
    notifier.inode(1, 0, 0);
    wait_for([&] { return notifier.status().queued == 0; });
    EXPECT_EQ(notifier.stop(10s), Notifier::Stopped::ended);
}

/// A worker that is killed while the kernel holds the thread: its channel ends at once.
TEST_F(NotifierTest, AThreadThatTheKernelKeepsHoldsNothingElseOpen) {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "threads after fork(2) are not supported there";
#endif
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    block();
    const pid_t child = ::fork();
    if (child == 0) {
        Notifier notifier(device(), 8);
        notifier.inode(7, 0, 0);
        // Of the first thread alone, as when SIGKILL finds the other one in the kernel.
        std::this_thread::sleep_for(300ms);
        ::syscall(SYS_exit, 0);
    }
    ::close(ends[1]);
    pollfd end{ends[0], POLLIN, 0};
    EXPECT_EQ(::poll(&end, 1, 10'000), 1);
    siginfo_t info{};
    EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT), 0);
    EXPECT_EQ(info.si_pid, 0) << "it is still there";
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(ends[0]);
}

}  // namespace
}  // namespace uidnfs::fuse
