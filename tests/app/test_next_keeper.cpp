// SPDX-License-Identifier: Apache-2.0
// What a keeper that comes in the place of one that was killed takes from the worker, and from what
// the dead one wrote down.
#include "app/adoption.hpp"
#include "app/kept_spec.hpp"
#include "app/mount_memory.hpp"
#include "control/door.hpp"
#include "control/process_facts.hpp"
#include "core/arena.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <functional>

namespace uidnfs::app {
namespace {

using testing::HasSubstr;

core::Fd device() { return core::Fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC)); }
core::Fd null() { return core::Fd(::open("/dev/null", O_RDWR | O_CLOEXEC)); }

core::Fd arena() {
    const auto made = core::Arena::create(mount_regions());
    return core::Fd(::fcntl(made->fd(), F_DUPFD_CLOEXEC, 0));
}

core::Fd memory(int seals) {
    core::Fd fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(::ftruncate(fd.get(), 1 << 20), 0);
    EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
    return fd;
}

template <class... Fds>
core::Outcome<Adoption> take(const char* verb, Fds... fds) {
    std::vector<core::Fd> all;
    (all.push_back(std::move(fds)), ...);
    return take_adopted({Message(verb).add("takeover", "full"), std::move(all)}, 77);
}

template <class... Fds>
std::string refusal(Fds... fds) {
    const auto taken = take(Adoption::kAnswer, std::move(fds)...);
    return taken ? "" : taken.error().user_text;
}

class AdoptionTest : public testing::Test {
protected:
    void SetUp() override {
        if (!device()) GTEST_SKIP() << "no /dev/fuse here";
    }
};

TEST_F(AdoptionTest, IsADeviceAndAnArena) {
    const auto taken = take(Adoption::kAnswer, device(), arena());
    ASSERT_TRUE(taken);
    EXPECT_TRUE(taken->fuse);
    EXPECT_TRUE(taken->arena);
    EXPECT_EQ(taken->takeover, "full");
}

TEST_F(AdoptionTest, IsTwoDescriptorsAndNoMore) {
    EXPECT_THAT(refusal(), HasSubstr("nothing"));
    EXPECT_THAT(refusal(device()), HasSubstr("nothing"));
    EXPECT_THAT(refusal(device(), arena(), null()), HasSubstr("nothing"));
    EXPECT_FALSE(take("ready", device(), arena()));
}

TEST_F(AdoptionTest, OtherDescriptorsAreRefused) {
    EXPECT_THAT(refusal(null(), arena()), HasSubstr("no /dev/fuse"));
    EXPECT_THAT(refusal(arena(), device()), HasSubstr("no /dev/fuse"));
    EXPECT_THAT(refusal(device(), null()), HasSubstr("not its state"));
    EXPECT_THAT(refusal(device(), device()), HasSubstr("not its state"));
}

TEST_F(AdoptionTest, MemoryThatSomebodyCanStillShrinkOrGrowIsRefused) {
    EXPECT_THAT(refusal(device(), memory(0)), HasSubstr("not its state"));
    EXPECT_THAT(refusal(device(), memory(F_SEAL_SHRINK)), HasSubstr("not its state"));
    EXPECT_THAT(refusal(device(), memory(F_SEAL_SHRINK | F_SEAL_GROW)), HasSubstr("not its state"));
    EXPECT_EQ(refusal(device(), memory(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)), "");
}

TEST(Adoption, WordsOfAWorkerAreThoseThatThereAre) {
    EXPECT_EQ(known_takeover("full"), "full");
    EXPECT_EQ(known_takeover("drained_only"), "drained_only");
    for (const auto* said : {"", "none", "fuller", "\x1b[31mfull"}) {
        EXPECT_EQ(known_takeover(said), "none");
    }
}

class OwnDirectory : public testing::Test {
protected:
    OwnDirectory() {
        char name[] = "/tmp/next-keeper-XXXXXX";
        directory_ = ::mkdtemp(name);
    }
    ~OwnDirectory() override {
        for (const auto* name : {"/7.spec", "/7.worker", "/7.spec.new"}) {
            ::unlink((directory_ + name).c_str());
        }
        ::rmdir(directory_.c_str());
    }
    std::string directory_;
};

class KeptSpecTest : public OwnDirectory {
protected:
    KeptSpecTest() {
        spec_.source = "nas1:/a";
        spec_.mountpoint = "/mnt";
        spec_.options = {{"uid", "1001", {}}, {"ro", std::nullopt, {}}};
        spec_.first_keeper = "12.345";
        spec_.keepers = 3;
        spec_.denied = "two\nlines";
    }
    void put(const std::string& text, mode_t mode = 0600) {
        std::ofstream(path()) << text;
        ::chmod(path().c_str(), mode);
    }
    std::string path() const { return directory_ + "/7.spec"; }
    int refusal() const {
        const auto read = read_kept_spec(path());
        return read ? 0 : read.error().code();
    }
    MountSpec spec_;
};

TEST_F(KeptSpecTest, IsReadAsItWasWrittenLast) {
    ASSERT_TRUE(write_kept_spec(path(), MountSpec{}));
    ASSERT_TRUE(write_kept_spec(path(), spec_));
    const auto read = read_kept_spec(path());
    ASSERT_TRUE(read);
    EXPECT_EQ(read->encode(), spec_.encode());
    EXPECT_EQ(read->first_keeper, "12.345");
    EXPECT_EQ(read->keepers, 3u);
    struct stat info {};
    ASSERT_EQ(::stat(path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST_F(KeptSpecTest, WhatOthersCouldHaveWrittenIsRefused) {
    EXPECT_EQ(refusal(), ENOENT);
    put(spec_.encode().encode(), 0620);
    EXPECT_EQ(refusal(), EPERM);
    ::unlink(path().c_str());
    ASSERT_EQ(::symlink("/etc/hostname", path().c_str()), 0);
    EXPECT_EQ(refusal(), ELOOP);
}

TEST_F(KeptSpecTest, WhatIsNoneIsRefused) {
    for (const auto& text :
         {std::string(),
          std::string("spec\n"),
          std::string("\xff\xfe"),
          spec_.encode(MountSpec::kAdoptVerb).encode(),
          std::string(200'000, 'x')}) {
        put(text);
        EXPECT_NE(refusal(), 0) << text.substr(0, 20);
    }
}

class DoorTest : public OwnDirectory {
protected:
    int knock(std::uint32_t uid, const std::string& mountpoint) const {
        const auto behind = control::knock(path(), uid, mountpoint);
        return behind ? 0 : behind.error().code();
    }
    std::string path() const { return directory_ + "/7.worker"; }
};

TEST_F(DoorTest, NobodyBehindIt) {
    EXPECT_EQ(knock(::geteuid(), "/mnt"), ENOENT);
    { const auto door = control::listen_at(path()); }
    EXPECT_EQ(knock(::geteuid(), "/mnt"), ECONNREFUSED);
}

TEST_F(DoorTest, WhoeverListensThereAndIsNotTheWorkerIsRefused) {
    const auto door = control::listen_at(path());
    ASSERT_TRUE(door);
    EXPECT_EQ(knock(::geteuid(), "/mnt"), EPERM);      // this process says nothing of a worker
    EXPECT_EQ(knock(::geteuid() + 1, "/mnt"), EPERM);  // nor is it another user's
    struct stat info {};
    ASSERT_EQ(::stat(path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(DoorTest, OneThatListenedAndDiedMayYetBeFollowed) {
    const auto door = control::listen_at(path());
    ASSERT_TRUE(door);
    const auto child = ::fork();
    if (child == 0) ::_exit(::listen(door->get(), 1));
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
    EXPECT_EQ(knock(::geteuid(), "/mnt"), EAGAIN);
}

TEST(ProcessFacts, OfThisProcess) {
    const auto pid = static_cast<std::uint32_t>(::getpid());
    EXPECT_FALSE(control::arguments_of(pid).empty());
    EXPECT_FALSE(control::has_role(pid, "worker", "/mnt"));
    EXPECT_TRUE(control::start_time_of(pid));
    EXPECT_FALSE(control::start_time_of(0x7fffffff));
    EXPECT_TRUE(control::arguments_of(0x7fffffff).empty());
}

}  // namespace
}  // namespace uidnfs::app
