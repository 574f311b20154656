// SPDX-License-Identifier: Apache-2.0
#include "app/remount.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace uidnfs::app {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

MountSpec live_spec(const std::string& options = "uid=1001,gid=1001") {
    MountSpec spec;
    spec.source = "nas1:/a";
    spec.mountpoint = "/mnt";
    spec.options = config::split_option_string(options, "-o");
    return spec;
}

core::Outcome<Remount> remount(
    const std::string& asked,
    const MountSpec& spec = live_spec(),
    const std::string& source = "nas1:/a"
) {
    const auto live = config::parse_mount_request(spec.source, spec.options);
    return plan_remount(
        spec, *live, source, remount_options(config::split_option_string(asked, "-o"))
    );
}

std::string refusal(const std::string& asked, const std::string& source = "nas1:/a") {
    const auto plan = remount(asked, live_spec(), source);
    return plan ? "accepted" : plan.error().user_text;
}

TEST(Remount, IsAskedForByName) {
    EXPECT_TRUE(asks_remount(config::split_option_string("ro,remount", "-o")));
    EXPECT_FALSE(asks_remount(config::split_option_string("ro", "-o")));
}

TEST(Remount, ChangesWhatCanChange) {
    const auto plan = remount("remount,ro,acregmin=1,timeo=50,softerr,log_level=debug");
    ASSERT_TRUE(plan);
    EXPECT_THAT(
        plan->changed, UnorderedElementsAre("ro", "softerr", "timeo", "acregmin", "log_level")
    );
    EXPECT_EQ(plan->request.options.read_only, config::Switch::on);
    EXPECT_EQ(plan->request.options.uid, 1001u);
}

TEST(Remount, TakesBackWhatImpliedOthers) {
    const auto spec = live_spec("uid=1001,gid=1001,noac");
    const auto plan = remount("remount,ac", spec);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->request.options.acregmin, 3u);
    EXPECT_EQ(plan->request.options.sync, config::Switch::off);
}

TEST(Remount, TakesWhatMountPassesForAMountThatIsNotInFstab) {
    const auto plan = remount(
        "rw,nosuid,nodev,relatime,user_id=0,group_id=0,allow_other,max_read=1048576,remount,ro"
    );
    ASSERT_TRUE(plan);
    EXPECT_THAT(plan->changed, UnorderedElementsAre("ro"));
}

TEST(Remount, ReasonsAreGivenAloneForLongSourcesToo) {
    for (const std::size_t length : {1, 200}) {
        auto spec = live_spec();
        spec.source = "nas1:/" + std::string(length, 'a');
        const auto plan = remount("remount,timeo=x", spec, spec.source);
        ASSERT_FALSE(plan);
        EXPECT_THAT(plan.error().user_text, testing::StartsWith("-o timeo=x: "));
    }
}

TEST(Remount, IsNothingWhenNothingDiffers) {
    const auto plan = remount("remount,rw,uid=1001,gid=1001,_netdev,timeo=600,bg");
    ASSERT_TRUE(plan);
    EXPECT_THAT(plan->changed, UnorderedElementsAre("bg"));
}

TEST(Remount, NamesAllThatCannotChange) {
    const auto text = refusal("remount,ro,uid=7,nconnect=2", "nas2:/a");
    EXPECT_THAT(text, HasSubstr("the source (nas1:/a, asked for nas2:/a)"));
    EXPECT_THAT(text, HasSubstr("uid (1001, asked for 7)"));
    EXPECT_THAT(text, HasSubstr("nconnect (1, asked for 2)"));
    EXPECT_EQ(remount("remount,uid=7").error().code, EBUSY);
}

TEST(Remount, NamesWhatIsTakenAway) {
    const auto plan = remount("remount,mountport=0", live_spec("uid=1,gid=1,mountport=7"));
    ASSERT_FALSE(plan);
    EXPECT_THAT(plan.error().user_text, HasSubstr("mountport (7, asked for unset)"));
}

TEST(Remount, NamesTheFlagThatComes) {
    EXPECT_THAT(refusal("remount,noresvport"), HasSubstr(": noresvport (unset, asked for set);"));
}

TEST(Remount, RefusesWhatNobodyKnows) {
    EXPECT_EQ(remount("remount,frobnicate").error().code, EINVAL);
    EXPECT_EQ(remount("remount,timeo=0").error().code, EINVAL);
    // Whoever asked says what could not be done, once.
    EXPECT_THAT(refusal("remount,timeo=0"), testing::StartsWith("-o timeo=0: too small; "));
}

}  // namespace
}  // namespace uidnfs::app
