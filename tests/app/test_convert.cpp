// SPDX-License-Identifier: Apache-2.0
#include "app/convert.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <string_view>

namespace uidnfs::app {
namespace {

using namespace std::chrono_literals;

config::MountOptions options(std::string_view words) {
    const auto request =
        config::parse_mount_request("nas1:/a", config::split_option_string(words, "-o"));
    EXPECT_TRUE(request) << (request ? "" : request.error().user_text);
    return request ? request->options : config::MountOptions{};
}

fs::Options converted(std::string_view words) {
    auto result = filesystem_options_of(options(words), "client");
    EXPECT_TRUE(result);
    return *result;
}

TEST(Convert, MakesOneCredentialOfUidGidAndGroups) {
    const auto result = converted("uid=1001,gid=1002,gids=7:8");
    EXPECT_EQ(result.credential->uid(), mapper::ServerUid(1001));
    EXPECT_EQ(result.credential->gid(), mapper::ServerGid(1002));
    ASSERT_EQ(result.credential->groups().size(), 2u);
    EXPECT_EQ(result.credential->groups()[1], mapper::ServerGid(8));
    EXPECT_EQ(result.credential->machine_name(), "client");
}

TEST(Convert, ShowsFilesAsTheApplicationUsers) {
    const auto result = converted("uid=1001,gid=1002,app_uid=5,app_gid=6");
    EXPECT_EQ(result.presenter.present(mapper::ServerUid(1001)), mapper::ClientUid(5));
    EXPECT_EQ(result.presenter.present(mapper::ServerGid(99)), mapper::ClientGid(6));
    EXPECT_TRUE(result.gate.may_enter(mapper::ClientUid(5)));
    EXPECT_FALSE(result.gate.may_enter(mapper::ClientUid(1001)));
}

TEST(Convert, PassesTheTimersOn) {
    const auto result = converted("uid=1,gid=1,acregmin=1,acregmax=2,acdirmin=3,acdirmax=4");
    EXPECT_EQ(result.timers.file_min, 1s);
    EXPECT_EQ(result.timers.file_max, 2s);
    EXPECT_EQ(result.timers.dir_min, 3s);
    EXPECT_EQ(result.timers.dir_max, 4s);
    EXPECT_EQ(result.write_mode, fs::WriteMode::async);
}

TEST(Convert, TakesNoacForNoTimersAndSync) {
    const auto result = converted("uid=1,gid=1,noac");
    EXPECT_EQ(result.timers.file_max, 0s);
    EXPECT_EQ(result.timers.dir_min, 0s);
    EXPECT_EQ(result.write_mode, fs::WriteMode::sync);
}

TEST(Convert, TakesActimeoZeroForNoTimersAlone) {
    const auto result = converted("uid=1,gid=1,actimeo=0");
    EXPECT_EQ(result.timers.file_max, 0s);
    EXPECT_EQ(result.write_mode, fs::WriteMode::async);
}

TEST(Convert, PassesSwitchesOn) {
    const auto result = converted("uid=1,gid=1,ro,nocto,nordirplus,lookupcache=pos,sync");
    EXPECT_EQ(result.writable, fs::Writable::no);
    EXPECT_EQ(result.close_to_open, fs::CloseToOpen::off);
    EXPECT_EQ(result.readdirplus, fs::Readdirplus::off);
    EXPECT_EQ(result.lookup_cache, fs::LookupCache::positive);
    EXPECT_EQ(result.write_mode, fs::WriteMode::sync);
}

TEST(Convert, SwallowsCopyUpWhereTheIdentityIsTheMounts) {
    EXPECT_EQ(converted("uid=1,gid=1").copy_up, fs::CopyUp::sent);
    EXPECT_EQ(converted("uid=1,gid=1,copyup").copy_up, fs::CopyUp::swallowed);
    EXPECT_EQ(converted("uid=1,gid=1,copyup,nocopyup").copy_up, fs::CopyUp::sent);
    EXPECT_EQ(converted("identity=caller,copyup").copy_up, fs::CopyUp::sent);
}

TEST(Convert, PassesServerOptionsOn) {
    const auto result = parameters_of(options(
        "uid=1,gid=1,port=20490,mountport=20480,soft,timeo=7,retrans=3,rsize=65536,noresvport"
    ));
    EXPECT_EQ(result.port, 20490);
    EXPECT_EQ(result.mount_port, 20480);
    EXPECT_EQ(result.recovery, nfs::Recovery::soft);
    EXPECT_EQ(result.timeo, 7u);
    EXPECT_EQ(result.retrans, 3u);
    EXPECT_EQ(result.rsize, 65536u);
    EXPECT_EQ(result.source_port, nfs::SourcePort::any);
    EXPECT_EQ(parameters_of(options("uid=1,gid=1")).source_port, nfs::SourcePort::reserved);
}

TEST(Convert, GivesAMountAsLongAsTheServerHasAndAMargin) {
    EXPECT_EQ(mount_deadline(options("uid=1,gid=1,timeo=5,retrans=1")), 1s + 10s);
    EXPECT_EQ(mount_deadline(options("uid=1,gid=1")), 180s + 10s);
}

TEST(Convert, FailsWhereTheCredentialDoes) {
    config::MountOptions plain;
    plain.uid = 0;
    plain.gid = 1;
    const auto result = filesystem_options_of(plain, "client");
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, EPERM);
}

TEST(Convert, KnowsThisMachine) {
    EXPECT_FALSE(machine_name().empty());
    EXPECT_LE(machine_name().size(), mapper::Credential::kMaxMachineName);
}

}  // namespace
}  // namespace uidnfs::app
