// SPDX-License-Identifier: Apache-2.0
#include "nfs/check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uidnfs::nfs {
namespace {

using testing::HasSubstr;

CheckStep judged(std::uint32_t uid, std::uint32_t gid) {
    mapper::Credential::Identity identity;
    identity.uid = mapper::ServerUid(1001);
    identity.gid = mapper::ServerGid(1002);
    const auto credential =
        mapper::Credential::make(std::move(identity), "host", mapper::RootIdentity::refused);
    Attr made;
    made.uid = mapper::ServerUid(uid);
    made.gid = mapper::ServerGid(gid);
    return judge_owner(**credential, made);
}

TEST(CheckOwner, IsFineWhenItIsTheIdentity) {
    const auto step = judged(1001, 1002);
    EXPECT_EQ(step.result, CheckStep::Result::ok);
    EXPECT_THAT(step.text, HasSubstr("belongs to 1001:1002"));
}

TEST(CheckOwner, ShowsWhatSquashesIt) {
    const auto step = judged(65534, 65534);
    EXPECT_EQ(step.result, CheckStep::Result::notice);
    EXPECT_THAT(step.text, HasSubstr("belongs to 65534:65534"));
    EXPECT_THAT(step.text, HasSubstr("all_squash"));
}

TEST(CheckOwner, TellsAnotherGroupApart) {
    const auto step = judged(1001, 50);
    EXPECT_EQ(step.result, CheckStep::Result::notice);
    EXPECT_THAT(step.text, HasSubstr("setgid"));
}

TEST(CheckAccess, IsSaidInWords) {
    EXPECT_EQ(describe_access(kAccessRead | kAccessLookup), "list, look up");
    EXPECT_EQ(describe_access(0), "nothing");
}

}  // namespace
}  // namespace uidnfs::nfs
