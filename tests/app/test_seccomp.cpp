// SPDX-License-Identifier: Apache-2.0
// The filter lasts for the rest of a process, so each question is asked by a child.
#include "app/seccomp.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

/// All workers are one user: what the kernel lets a user do to his own processes is left out.
TEST(Seccomp, OtherProcessesOfTheSameUserAreOutOfReach) {
    const pid_t other = ::fork();
    if (other == 0) {
        ::pause();
        ::_exit(0);
    }
    EXPECT_NE(0, errno_behind_filter([&] { return ::kill(other, SIGKILL); }));
    EXPECT_NE(0, errno_behind_filter([&] { return ::syscall(SYS_tgkill, other, other, SIGKILL); }));
    EXPECT_NE(0, errno_behind_filter([] { return ::kill(-1, 0); }));
    EXPECT_NE(0, errno_behind_filter([] { return ::kill(0, 0); }));
    EXPECT_NE(0, errno_behind_filter([&] { return ::syscall(SYS_tkill, other, SIGKILL); }));
    siginfo_t information{};
    EXPECT_NE(0, errno_behind_filter([&] {
                  return ::syscall(SYS_rt_sigqueueinfo, other, SIGTERM, &information);
              }));
    const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, other, 0));
    EXPECT_NE(0, errno_behind_filter([&] {
                  return ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
              }));
    const rlimit nothing{0, 0};
    EXPECT_NE(0, errno_behind_filter([&] {
                  return ::prlimit(other, RLIMIT_CPU, &nothing, nullptr);
              }));
    // The kernel would send the signal for us, when there is something to read.
    int pipe[2];
    ASSERT_EQ(0, ::pipe(pipe));
    f_owner_ex owner{F_OWNER_PID, other};
    EXPECT_NE(0, errno_behind_filter([&] { return ::fcntl(pipe[0], F_SETOWN, other); }));
    EXPECT_NE(0, errno_behind_filter([&] { return ::fcntl(pipe[0], F_SETOWN_EX, &owner); }));
    EXPECT_NE(0, errno_behind_filter([&] { return ::fcntl(pipe[0], F_SETSIG, SIGKILL); }));
    EXPECT_NE(0, errno_behind_filter([&] {
                  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
                  return ::ioctl(socket, FIOSETOWN, &other);
              }));
    EXPECT_NE(0, errno_behind_filter([&] {
                  char byte;
                  iovec here{&byte, 1};
                  iovec there{&byte, 1};
                  return ::process_vm_readv(other, &here, 1, &there, 1, 0);
              }));
    EXPECT_EQ(0, ::waitpid(other, nullptr, WNOHANG)) << "it lives";
    ::kill(other, SIGKILL);
    ::waitpid(other, nullptr, 0);
}

TEST(Seccomp, NoProcessAndNoNamespaceIsMade) {
    EXPECT_NE(0, errno_behind_filter([] { return ::syscall(SYS_fork); }));
    EXPECT_NE(0, errno_behind_filter([] { return ::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }));
    EXPECT_NE(0, errno_behind_filter([] {
                  return ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
              }));
    EXPECT_NE(0, errno_behind_filter([] { return ::syscall(SYS_unshare, CLONE_NEWUSER); }));
    EXPECT_NE(0, errno_behind_filter([] {
                  return ::syscall(SYS_unshare, CLONE_FILES | CLONE_NEWUSER);
              }));
    EXPECT_EQ(0, errno_behind_filter([] { return ::syscall(SYS_unshare, CLONE_FILES); }));
}

TEST(Seccomp, ItsOwnLimitsSignalsAndDescriptorsAreLeft) {
    rlimit limit{};
    EXPECT_EQ(0, errno_behind_filter([&] { return ::getrlimit(RLIMIT_NOFILE, &limit); }));
    EXPECT_EQ(0, errno_behind_filter([] { return ::kill(::getpid(), 0); }));
    EXPECT_EQ(0, errno_behind_filter([] { return ::fcntl(0, F_DUPFD_CLOEXEC, 10) < 0 ? -1 : 0; }));
    EXPECT_EQ(0, errno_behind_filter([] {
                  int yes = 1;
                  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
                  return ::ioctl(socket, FIONBIO, &yes);
              }));
}

}  // namespace
}  // namespace uidnfs::app
