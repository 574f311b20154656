// SPDX-License-Identifier: Apache-2.0
// Contradictions between options that the parser alone does not reach, and what is derived.
#include "config/checks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uidnfs::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

MountOptions fixed() {
    MountOptions options;
    options.uid = 1001;
    options.gid = 1001;
    return options;
}

MountOptions caller() {
    MountOptions options;
    options.identity = IdentityMode::caller;
    return options;
}

TEST(ChecksTest, DeclaredIdentityIsEnough) {
    EXPECT_THAT(find_contradictions(fixed()), IsEmpty());
    EXPECT_EQ("", find_missing_identity(fixed()));
}

TEST(ChecksTest, CallerNeedsNoIdentityAndMayHaveOneForTheMountItself) {
    EXPECT_EQ("", find_missing_identity(caller()));
    EXPECT_THAT(find_contradictions(caller()), IsEmpty());
    auto both = caller();
    both.uid = 1001;
    EXPECT_THAT(find_missing_identity(both), HasSubstr("add gid=N"));
    both.gid = 1001;
    both.gids = {5};
    EXPECT_EQ("", find_missing_identity(both));
    EXPECT_THAT(find_contradictions(both), IsEmpty());
    auto groups = caller();
    groups.gids = {5};
    EXPECT_THAT(find_contradictions(groups), ElementsAre(HasSubstr("leave out gids=")));
    auto strict = caller();
    strict.access = mapper::Access::strict;
    EXPECT_THAT(find_contradictions(strict), ElementsAre(HasSubstr("leave out access=strict")));
    auto mapped = caller();
    mapped.present = mapper::Presentation::mapped;
    EXPECT_THAT(find_contradictions(mapped), ElementsAre(HasSubstr("leave out present=mapped")));
}

TEST(ChecksTest, EveryRootIdIsToldOnItsOwn) {
    auto options = fixed();
    options.uid = 0;
    options.gid = 0;
    options.gids = {0, 5, 0};
    EXPECT_THAT(
        find_contradictions(options),
        ElementsAre(HasSubstr("uid=0"), HasSubstr("gid=0"), HasSubstr("gids="))
    );
    options.allow_root_identity = Switch::on;
    EXPECT_THAT(find_contradictions(options), IsEmpty());
}

TEST(ChecksTest, SettlingTwiceChangesNothingMore) {
    auto options = fixed();
    options.rsize = 5000;
    options.attribute_cache = Switch::off;
    std::vector<std::string> warnings;
    settle(options, warnings);
    EXPECT_EQ(1u, warnings.size());
    EXPECT_EQ(4096u, options.rsize);
    EXPECT_EQ(Switch::on, options.sync);
    settle(options, warnings);
    EXPECT_EQ(1u, warnings.size());
    EXPECT_EQ(4096u, options.rsize);
}

}  // namespace
}  // namespace uidnfs::config
