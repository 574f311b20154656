// SPDX-License-Identifier: Apache-2.0
// What goes to fsconfig(2) and fsmount(2); the mounts themselves are made in tests/integration.
#include "app/fuse_mount.hpp"
#include "app/mountpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace uidnfs::app {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Key;
using testing::Not;
using testing::Pair;

FuseMountPlan plan(const config::MountOptions& options) {
    return plan_fuse_mount(options, "nas1:/a");
}

TEST(FuseMountPlan, IsOpenToOthersAndWithoutSetuidAndDevices) {
    const auto result = plan({});
    EXPECT_THAT(result.parameters, Contains(Pair("source", "nas1:/a")));
    EXPECT_THAT(result.parameters, Contains(Pair("subtype", "uidnfs")));
    EXPECT_THAT(result.parameters, Contains(Pair("user_id", "0")));
    EXPECT_THAT(result.parameters, Contains(Pair("allow_other", std::nullopt)));
    EXPECT_THAT(result.parameters, Not(Contains(Key("default_permissions"))));
    EXPECT_EQ(result.attributes, unsigned{MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV});
}

TEST(FuseMountPlan, ShowsTheBeginningOfALongSource) {
    const auto longest = "nas1:/" + std::string(249, 'a');
    EXPECT_THAT(plan_fuse_mount({}, longest).parameters, Contains(Pair("source", longest)));
    const auto shown = "nas1:/" + std::string(246, 'a') + "...";
    EXPECT_THAT(plan_fuse_mount({}, longest + "a").parameters, Contains(Pair("source", shown)));
}

TEST(FuseMountPlan, LetsTheKernelEnforceStrictAccess) {
    config::MountOptions options;
    options.access = mapper::Access::strict;
    options.app_uid = 5;
    options.app_gid = 6;
    const auto result = plan(options);
    EXPECT_THAT(result.parameters, Contains(Pair("user_id", "5")));
    EXPECT_THAT(result.parameters, Contains(Pair("group_id", "6")));
    EXPECT_THAT(result.parameters, Not(Contains(Key("allow_other"))));
}

TEST(FuseMountPlan, ChecksModesInTheKernelOnlyForIdentityCaller) {
    config::MountOptions options;
    options.identity = config::IdentityMode::caller;
    EXPECT_THAT(plan(options).parameters, Contains(Key("default_permissions")));
}

TEST(FuseMountPlan, CarriesMountOptions) {
    config::MountOptions options;
    options.read_only = options.noexec = options.noatime = config::Switch::on;
    options.context = "system_u:object_r:nfs_t:s0";
    const auto result = plan(options);
    EXPECT_THAT(result.parameters, Contains(Pair("ro", std::nullopt)));
    EXPECT_THAT(result.parameters, Contains(Pair("context", "system_u:object_r:nfs_t:s0")));
    const unsigned wanted = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME;
    EXPECT_EQ(result.attributes & wanted, wanted);
}

class MountpointTest : public testing::Test {
protected:
    MountpointTest() {
        std::string pattern = testing::TempDir() + "uidnfs-XXXXXX";
        root_ = ::mkdtemp(pattern.data());
        real_ = ::canonicalize_file_name(root_.c_str());
    }
    ~MountpointTest() override {
        ::unlink((root_ + "/file").c_str());
        ::unlink((root_ + "/link").c_str());
        ::rmdir((root_ + "/dir").c_str());
        ::rmdir(root_.c_str());
        ::free(real_);
    }
    std::string refusal(const std::string& path) {
        const auto result = open_mountpoint(path, "nas1:/a");
        return result ? "accepted" : result.error().user_text;
    }

    std::string root_;
    char* real_ = nullptr;
};

TEST_F(MountpointTest, IsADirectoryThatExists) {
    EXPECT_THAT(refusal(root_ + "/none"), HasSubstr("does not exist; create"));
    std::ofstream(root_ + "/file") << "x";
    EXPECT_THAT(refusal(root_ + "/file"), HasSubstr("is not a directory; choose"));
    EXPECT_THAT(
        refusal(root_ + "/file"), HasSubstr("cannot mount nas1:/a on " + root_ + "/file: ")
    );
}

TEST_F(MountpointTest, IsKnownByItsRealPath) {
    ::mkdir((root_ + "/dir").c_str(), 0700);
    ASSERT_EQ(::symlink("dir", (root_ + "/link").c_str()), 0);
    const auto result = open_mountpoint(root_ + "/link", "nas1:/a");
    ASSERT_TRUE(result);
    EXPECT_EQ(result->path, std::string(real_) + "/dir");
    EXPECT_EQ(canonical_mountpoint(root_ + "/link").value(), std::string(real_) + "/dir");
    EXPECT_EQ(canonical_mountpoint(root_ + "/dir/").value(), std::string(real_) + "/dir");
}

TEST_F(MountpointTest, IsNamedEvenWhenItIsBroken) {
    EXPECT_EQ(canonical_mountpoint(root_ + "/gone").value(), std::string(real_) + "/gone");
    EXPECT_EQ(canonical_mountpoint(root_ + "/no/such").error().code(), ENOENT);
}

TEST(InheritedDevice, IsADescriptorAndNothingElse) {
    EXPECT_EQ(inherited_device("/dev/fd/7"), 7);
    for (const auto* path : {"/dev/fd/", "/dev/fd/x", "/dev/fd/7/", "/dev/fd/-1", "/mnt", "7"}) {
        EXPECT_EQ(inherited_device(path), std::nullopt) << path;
    }
}

}  // namespace
}  // namespace uidnfs::app
