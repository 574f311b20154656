// SPDX-License-Identifier: Apache-2.0
#include "app/names.hpp"
#include "control/mount_table.hpp"
#include "core/fd.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>

namespace uidnfs::app {
namespace {

using testing::ElementsAre;
using testing::Field;

constexpr const char* kText =
    "22 28 0:21 / /proc rw,nosuid shared:5 - proc proc rw\n"
    "28 0 254:1 / / rw,relatime - ext4 /dev/vda rw\n"
    "90 28 0:77 / /mnt/a rw,nosuid,nodev shared:9 master:3 - fuse.uidnfs nas1:/exports/a "
    "rw,user_id=0\n"
    "91 28 0:78 / /mnt/with\\040space\\011tab rw - fuse.uidnfs nas1:/x\\040y rw\n"
    "92 28 0:79 / /mnt/a rw - tmpfs none rw\n"
    "93 28 0:77 /sub /srv/part rw - fuse.uidnfs nas1:/exports/a rw\n"
    "94 28 0:80 / /other rw - fuse.sshfs host: rw\n";

class Mountinfo : public testing::Test {
protected:
    std::vector<MountEntry> mounts_ = parse_mountinfo(kText);
};

TEST_F(Mountinfo, ReadsEveryLine) {
    ASSERT_EQ(mounts_.size(), 7u);
    const auto& entry = mounts_[2];
    EXPECT_EQ(entry.id, 90u);
    EXPECT_EQ(entry.major, 0u);
    EXPECT_EQ(entry.minor, 77u);
    EXPECT_EQ(entry.root, "/");
    EXPECT_EQ(entry.mountpoint, "/mnt/a");
    EXPECT_EQ(entry.type, "fuse.uidnfs");
    EXPECT_EQ(entry.source, "nas1:/exports/a");
}

TEST_F(Mountinfo, UndoesOctalEscapes) {
    EXPECT_EQ(mounts_[3].mountpoint, "/mnt/with space\ttab");
    EXPECT_EQ(mounts_[3].source, "nas1:/x y");
}

TEST_F(Mountinfo, FindsWhatLiesOnTop) {
    const auto* entry = find_by_path(mounts_, "/mnt/a");
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->type, "tmpfs");
    EXPECT_EQ(find_by_path(mounts_, "/mnt"), nullptr);
}

TEST_F(Mountinfo, WhatWasMadeBeforeAndAttachedAfterLiesOnTop) {
    const auto mounts = parse_mountinfo(
        "28 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "50 52 0:50 / /mnt/a rw - fuse.uidnfs nas1:/second rw\n"
        "51 50 0:51 / /mnt/a rw - fuse.uidnfs nas1:/third rw\n"
        "52 28 0:52 / /mnt/a rw - tmpfs none rw\n"
        "53 51 0:53 / /mnt/a/below rw - tmpfs none rw\n"
    );
    ASSERT_EQ(mounts.size(), 5u);
    EXPECT_EQ(find_by_path(mounts, "/mnt/a")->source, "nas1:/third");
    EXPECT_EQ(find_below(mounts, "/mnt/a/deep/er")->source, "nas1:/third");
    EXPECT_EQ(find_below(mounts, "/mnt/a/below/deep")->id, 53u);
}

TEST_F(Mountinfo, FindsWhatAPathIsOn) {
    EXPECT_EQ(find_below(mounts_, "/mnt/a/deep/er")->type, "tmpfs");
    EXPECT_EQ(find_below(mounts_, "/mnt/ab")->mountpoint, "/");
    EXPECT_EQ(find_below({}, "/mnt"), nullptr);
}

TEST_F(Mountinfo, KnowsWhetherOthersSeeWhatIsMountedBelow) {
    const auto mounts = parse_mountinfo(
        "28 1 8:1 / / rw shared:1 master:7 - ext4 /dev/sda rw\n"
        "29 28 8:2 / /a rw - ext4 /dev/sdb rw\n"
    );
    EXPECT_EQ(mounts[0].propagation, "shared:1 master:7");
    EXPECT_EQ(mounts[1].propagation, "");
    EXPECT_EQ(mounts[1].type, "ext4");
}

TEST_F(Mountinfo, FindsAllPlacesOfOneMount) {
    EXPECT_THAT(
        find_by_minor(mounts_, 77),
        ElementsAre(
            Field(&MountEntry::mountpoint, "/mnt/a"), Field(&MountEntry::mountpoint, "/srv/part")
        )
    );
    EXPECT_TRUE(find_by_minor(mounts_, 79).empty()) << "a tmpfs is not ours";
    EXPECT_TRUE(find_by_minor(mounts_, 80).empty()) << "another FUSE file system is not ours";
}

TEST_F(Mountinfo, FindsById) {
    ASSERT_NE(find_by_id(mounts_, 93), nullptr);
    EXPECT_EQ(find_by_id(mounts_, 93)->root, "/sub");
    EXPECT_EQ(find_by_id(mounts_, 1), nullptr);
}

TEST(MountinfoText, LeavesOutWhatItDoesNotUnderstand) {
    for (const auto* line :
         {"",
          "\n",
          "words",
          "1 2 3",
          "1 2 0:x / /a rw - t s",
          "1 2 0:1 / /a rw",
          "1 2 01 / /a rw - t s",
          "x 2 0:1 / /a rw - t s",
          "1 2 0:1 / /a rw shared:1"}) {
        EXPECT_TRUE(parse_mountinfo(line).empty()) << line;
    }
    const auto cut = parse_mountinfo("junk\n5 1 0:9 / /a rw - t s rw");
    ASSERT_EQ(cut.size(), 1u);
    EXPECT_EQ(cut[0].source, "s");
}

TEST(MountinfoText, KeepsBackslashesThatAreNoEscapes) {
    const auto mounts = parse_mountinfo("5 1 0:9 / /a\\9\\04 rw - t s rw\n");
    ASSERT_EQ(mounts.size(), 1u);
    EXPECT_EQ(mounts[0].mountpoint, "/a\\9\\04");
}

TEST(MountinfoHere, KnowsTheMountOfADescriptor) {
    const core::Fd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto id = descriptor_fact(proc.get(), "mnt_id:");
    const auto mounts = read_mountinfo();
    ASSERT_TRUE(id);
    ASSERT_TRUE(mounts);
    const auto* entry = find_by_id(*mounts, *id);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->type, "proc");
    EXPECT_EQ(descriptor_fact(-1, "mnt_id:").error().code(), ENOENT);
    EXPECT_EQ(descriptor_fact(proc.get(), "fuse_connection:").error().code(), EPROTO);
}

/// In a namespace of its own; the number says what was wrong.
[[noreturn]] void look_at_changing_mounts() {
    constexpr const char* kPlace = "/tmp";
    if (::unshare(CLONE_NEWNS) != 0) ::_exit(0);  // not root
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(0);
    control::MountTable table;
    const auto* before = table.now();
    if (!before || before->empty()) ::_exit(1);
    const auto count = before->size();
    const auto* const text = before->front().mountpoint.data();
    // Not read again: even its memory is the same.
    if (table.now()->front().mountpoint.data() != text) ::_exit(2);
    if (::mount("none", kPlace, "tmpfs", 0, nullptr) != 0) ::_exit(0);
    if (table.now()->size() != count + 1) ::_exit(3);
    if (::umount(kPlace) != 0 || table.now()->size() != count) ::_exit(4);
    ::_exit(0);
}

TEST(MountTable, IsReadAgainWhenMountsHaveChanged) {
    EXPECT_EXIT(look_at_changing_mounts(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace uidnfs::app
