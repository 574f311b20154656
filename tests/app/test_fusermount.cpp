// SPDX-License-Identifier: Apache-2.0
// What fusermount3 is asked for, and what is refused before it; that it does it is in
// tests/integration.
#include "app/fusermount.hpp"
#include "app/names.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace uidnfs::app {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::uint32_t kUser = 1000;

std::string plan(
    const config::MountOptions& options,
    AllowOther allow_other = AllowOther::permitted,
    const std::string& source = "nas1:/a"
) {
    const auto planned = plan_fusermount(options, source, kUser, allow_other, "cannot: ");
    return planned ? *planned : planned.error().user_text;
}

TEST(FuseConf, PermitsWithTheOneWord) {
    EXPECT_EQ(parse_fuse_conf(""), AllowOther::refused);
    EXPECT_EQ(parse_fuse_conf("#user_allow_other\n"), AllowOther::refused);
    EXPECT_EQ(parse_fuse_conf("user_allow_others\n"), AllowOther::refused);
    EXPECT_EQ(parse_fuse_conf("mount_max = 9\n user_allow_other # yes\n"), AllowOther::permitted);
    EXPECT_EQ(parse_fuse_conf("user_allow_other"), AllowOther::permitted);
}

TEST(FusermountPlan, IsOpenToOthersWherePermitted) {
    EXPECT_EQ(plan({}), "fsname=nas1:/a,subtype=uidnfs,nosuid,nodev,max_read=1048576,allow_other");
}

TEST(FusermountPlan, CarriesMountOptionsAndQuotesTheSource) {
    config::MountOptions options;
    options.read_only = options.noexec = options.noatime = config::Switch::on;
    EXPECT_THAT(plan(options), HasSubstr(",ro,noexec,noatime"));
    EXPECT_THAT(
        plan(options, AllowOther::permitted, "nas1:/a,ro\\"), HasSubstr("fsname=nas1:/a\\,ro\\\\,")
    );
}

TEST(FusermountPlan, IsForItsMakerAloneWhereOthersMayNotBeLetIn) {
    config::MountOptions options;
    EXPECT_THAT(plan(options, AllowOther::refused), HasSubstr("user_allow_other"));
    options.app_uid = kUser;
    EXPECT_THAT(plan(options, AllowOther::refused), Not(HasSubstr("allow_other")));
    options.access = mapper::Access::any;
    EXPECT_THAT(plan(options, AllowOther::refused), HasSubstr("app_uid=1000,access=strict"));
    options.access = mapper::Access::strict;
    EXPECT_THAT(plan(options, AllowOther::permitted), Not(HasSubstr("allow_other")));
}

TEST(FusermountPlan, RefusesWhatAUserCannotHave) {
    config::MountOptions options;
    options.access = mapper::Access::strict;
    EXPECT_THAT(plan(options), HasSubstr("is for uid 1000 alone, not for app_uid=2000"));
    options = {};
    options.context = "system_u:object_r:nfs_t:s0";
    EXPECT_THAT(plan(options), HasSubstr("context="));
    options = {};
    options.identity = config::IdentityMode::caller;
    EXPECT_THAT(plan(options), HasSubstr("identity=caller is for root alone"));
}

TEST(Control, EveryUserHasPlacesOfHisOwn) {
    EXPECT_THAT(
        control_directories(0), testing::ElementsAre("/run/uidnfs/mounts", "/tmp/uidnfs-0/mounts")
    );
    EXPECT_THAT(
        control_directories(kUser),
        testing::ElementsAre("/run/user/1000/uidnfs/mounts", "/tmp/uidnfs-1000/mounts")
    );
    EXPECT_EQ(control_path("/run/uidnfs/mounts", 42), "/run/uidnfs/mounts/42.sock");
}

TEST(MountOwner, IsToldByMountinfo) {
    const auto mounts = parse_mountinfo(
        "36 35 0:42 / /mnt rw,nosuid - fuse.uidnfs nas1:/a rw,user_id=1000,group_id=7\n"
    );
    ASSERT_EQ(mounts.size(), 1u);
    EXPECT_EQ(mounts[0].owner, 1000u);
}

}  // namespace
}  // namespace uidnfs::app
