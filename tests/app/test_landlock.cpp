// SPDX-License-Identifier: Apache-2.0
// What a worker may open lasts for the rest of a process, so each question is asked by a child.
#include "app/landlock.hpp"
#include "app/seccomp.hpp"
#include "core/fd.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

namespace uidnfs::app {
namespace {

constexpr int kNone = 254;

class LandlockTest : public testing::Test {
protected:
    void SetUp() override {
        std::string name = testing::TempDir() + "uidnfs-landlock-XXXXXX";
        ASSERT_NE(nullptr, ::mkdtemp(name.data()));
        directory = name;
        secret = directory + "/secret";
        std::ofstream(secret) << "password";
        if (errno_inside([] { return 0; }) == kNone) GTEST_SKIP() << "this kernel has no Landlock";
    }
    void TearDown() override { std::filesystem::remove_all(directory); }

    /// errno of `call` in a process like a worker; 0 where it succeeds.
    static int errno_inside(const std::function<long()>& call) {
        const pid_t child = ::fork();
        if (child == 0) {
            if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(255);
            if (!restrict_files()) ::_exit(kNone);
            if (!restrict_system_calls()) ::_exit(255);
            ::_exit(call() < 0 ? errno : 0);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    static int opened(const std::string& path, int flags) {
        return errno_inside([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0600); });
    }

    std::string directory;
    std::string secret;
};

TEST_F(LandlockTest, FilesOfItsUserAreClosed) {
    for (const int flags :
         {O_RDONLY,
          O_WRONLY,
          O_RDWR,
          O_WRONLY | O_TRUNC,
          O_RDONLY | O_TRUNC,
          O_WRONLY | O_APPEND}) {
        EXPECT_EQ(EACCES, opened(secret, flags)) << flags;
    }
    EXPECT_EQ(EACCES, opened(directory + "/new", O_WRONLY | O_CREAT));
    EXPECT_EQ(EACCES, opened(directory, O_RDONLY | O_DIRECTORY));
    EXPECT_EQ(EACCES, opened("/", O_RDONLY | O_DIRECTORY));
    EXPECT_EQ(EACCES, opened("/etc/passwd", O_RDONLY));
    EXPECT_EQ(EACCES, opened("/etc/hosts", O_WRONLY));
    EXPECT_EQ(EACCES, opened("/proc/self/comm", O_WRONLY));
    EXPECT_EQ(8u, std::filesystem::file_size(secret));
    EXPECT_FALSE(std::filesystem::exists(directory + "/new"));
}

TEST_F(LandlockTest, LinksAndDescriptorsAreNoWayAround) {
    const auto link = directory + "/hosts";
    ASSERT_EQ(0, ::symlink(secret.c_str(), link.c_str()));
    EXPECT_EQ(EACCES, opened(link, O_RDONLY));
    const core::Fd way(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    EXPECT_EQ(EACCES, errno_inside([&] { return ::openat(way.get(), "secret", O_RDONLY); }));
    EXPECT_EQ(EACCES, errno_inside([&] {
                  const int path = ::open(secret.c_str(), O_PATH);
                  return ::open(("/proc/self/fd/" + std::to_string(path)).c_str(), O_RDONLY);
              }));
}

TEST_F(LandlockTest, WhatAWorkerOpensIsOpen) {
    EXPECT_EQ(0, opened("/proc/self/status", O_RDONLY));
    EXPECT_EQ(0, opened("/proc/1/stat", O_RDONLY)) << "callers are somebody else's";
    EXPECT_EQ(0, opened("/dev/null", O_RDWR));
    if (::access("/dev/fuse", R_OK | W_OK) == 0) {
        EXPECT_EQ(0, opened("/dev/fuse", O_RDWR));
    }
    EXPECT_EQ(0, opened("/etc/hosts", O_RDONLY));
    EXPECT_EQ(0, errno_inside([]() -> long {
                  addrinfo* found = nullptr;
                  errno = EIO;
                  return ::getaddrinfo("localhost", nullptr, nullptr, &found) == 0 ? 0 : -1;
              }));
}

TEST_F(LandlockTest, WhatWasOpenStaysSo) {
    const core::Fd log(::open(secret.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    EXPECT_EQ(0, errno_inside([&] { return ::write(log.get(), "+", 1); }));
    EXPECT_EQ(9u, std::filesystem::file_size(secret));
    EXPECT_EQ(0, errno_inside([]() -> long {
                  const int memory = ::memfd_create("a", 0);
                  return ::ftruncate(memory, 4096);
              }));
}

TEST_F(LandlockTest, ThreadsThatBeginLaterAreAsItIs) {
    EXPECT_EQ(EACCES, errno_inside([&]() -> long {
                  int code = 0;
                  std::thread([&] { code = ::open(secret.c_str(), O_RDONLY) < 0 ? errno : 0; }
                  ).join();
                  errno = code;
                  return code == 0 ? 0 : -1;
              }));
}

}  // namespace
}  // namespace uidnfs::app
