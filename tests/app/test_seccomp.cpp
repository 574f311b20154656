// SPDX-License-Identifier: Apache-2.0
// The filter lasts for the rest of a process, so each question is asked by a child.
#include "app/seccomp.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <thread>

namespace uidnfs::app {
namespace {

/// errno of `call` behind the filter; 0 where it succeeds.
int errno_behind_filter(const std::function<long()>& call) {
    const pid_t child = ::fork();
    if (child == 0) {
        if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !restrict_system_calls()) ::_exit(255);
        ::_exit(call() < 0 ? errno : 0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Seccomp, NoProgramIsStartedAndNothingIsMounted) {
    const char* const arguments[] = {"true", nullptr};
    EXPECT_EQ(EPERM, errno_behind_filter([&] {
        return ::execve("/bin/true", const_cast<char* const*>(arguments), nullptr);
    }));
    EXPECT_EQ(EPERM, errno_behind_filter([] { return ::mount("a", "/", "tmpfs", 0, nullptr); }));
    EXPECT_EQ(EPERM, errno_behind_filter([] { return ::syscall(SYS_setns, 0, 0); }));
    EXPECT_EQ(EPERM, errno_behind_filter([] { return ::ptrace(PTRACE_ATTACH, 1, 0, 0); }));
    EXPECT_EQ(EPERM, errno_behind_filter([] { return ::syscall(SYS_setresuid, 0, 0, 0); }));
}

TEST(Seccomp, WhatIsNotKnownIsNotThere) {
    EXPECT_EQ(ENOSYS, errno_behind_filter([] { return ::syscall(SYS_acct, nullptr); }));
    EXPECT_EQ(ENOSYS, errno_behind_filter([] { return ::socket(AF_PACKET, SOCK_RAW, 0); }));
}

TEST(Seccomp, WhatAWorkerNeedsIsLeft) {
    EXPECT_EQ(0, errno_behind_filter([] { return ::socket(AF_INET, SOCK_STREAM, 0); }));
    EXPECT_EQ(0, errno_behind_filter([]() -> long {
        long result = -1;
        std::thread([&] { result = ::getpid() > 0 ? 0 : -1; }).join();
        return result;
    }));
}

}  // namespace
}  // namespace uidnfs::app
