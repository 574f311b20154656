// SPDX-License-Identifier: Apache-2.0
// Presenter: what is shown, and what a chown becomes, for all three presentations. The application
// is 2000:2001, the identity on the server 1001:1002.
#include "mapper/presenter.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <type_traits>

namespace uidnfs::mapper {
namespace {

constexpr Presenter::Identity kIdentity{
    ClientUid(2000), ClientGid(2001), ServerUid(1001), ServerGid(1002)};
constexpr std::uint32_t kForeign = 500;

static_assert(!std::is_convertible_v<ServerUid, ClientUid>);
static_assert(!std::is_convertible_v<std::uint32_t, ServerUid>);
static_assert(!std::is_constructible_v<ServerUid, ServerGid>);

struct Owner {
    std::uint32_t uid = 1001;
    std::uint32_t gid = 1002;
};

class PresenterTest : public testing::Test {
protected:
    Presenter all{Presentation::all, kIdentity};
    Presenter mapped{Presentation::mapped, kIdentity};
    Presenter verbatim{Presentation::verbatim, kIdentity};

    static auto chown(const Presenter& presenter, std::uint32_t uid, Owner of = {}) {
        return presenter.accept(
            {ClientUid(uid), std::nullopt}, ServerUid(of.uid), ServerGid(of.gid)
        );
    }
    static auto chgrp(const Presenter& presenter, std::uint32_t gid, Owner of = {}) {
        return presenter.accept(
            {std::nullopt, ClientGid(gid)}, ServerUid(of.uid), ServerGid(of.gid)
        );
    }
    static bool is_nothing(const core::Result<OwnerChange>& change) {
        return change && !change->uid && !change->gid;
    }
    static int error(const core::Result<OwnerChange>& change) {
        return change ? 0 : change.error().code();
    }
};

TEST_F(PresenterTest, AllShowsEverythingAsTheApplications) {
    for (const auto id : {1001u, 0u, kForeign, 2000u, kNoId}) {
        EXPECT_EQ(ClientUid(2000), all.present(ServerUid(id)));
        EXPECT_EQ(ClientGid(2001), all.present(ServerGid(id)));
    }
}

TEST_F(PresenterTest, MappedShowsOnlyTheIdentityAsTheApplication) {
    EXPECT_EQ(ClientUid(2000), mapped.present(ServerUid(1001)));
    EXPECT_EQ(ClientGid(2001), mapped.present(ServerGid(1002)));
    EXPECT_EQ(ClientUid(kForeign), mapped.present(ServerUid(kForeign)));
    EXPECT_EQ(ClientGid(1001), mapped.present(ServerGid(1001)));
    EXPECT_EQ(ClientUid(0), mapped.present(ServerUid(0)));
}

TEST_F(PresenterTest, MappedNeverShowsAForeignIdAsTheApplications) {
    EXPECT_EQ(ClientUid(kNobody), mapped.present(ServerUid(2000)));
    EXPECT_EQ(ClientGid(kNobody), mapped.present(ServerGid(2001)));
    EXPECT_EQ(ClientUid(2001), mapped.present(ServerUid(2001)));
}

TEST_F(PresenterTest, MappedWithEqualIdsShowsTheApplication) {
    const Presenter same(
        Presentation::mapped, {ClientUid(7), ClientGid(7), ServerUid(7), ServerGid(7)}
    );
    EXPECT_EQ(ClientUid(7), same.present(ServerUid(7)));
}

TEST_F(PresenterTest, VerbatimShowsWhatTheServerHas) {
    for (const auto id : {1001u, 0u, kForeign, 2000u}) {
        EXPECT_EQ(ClientUid(id), verbatim.present(ServerUid(id)));
        EXPECT_EQ(ClientGid(id), verbatim.present(ServerGid(id)));
    }
}

TEST_F(PresenterTest, NothingAskedIsNothingSent) {
    for (const auto* presenter : {&all, &mapped, &verbatim}) {
        EXPECT_TRUE(is_nothing(presenter->accept({}, ServerUid(1001), ServerGid(1002))));
    }
}

TEST_F(PresenterTest, AllTakesTheApplicationForAnybodysFile) {
    EXPECT_TRUE(is_nothing(chown(all, 2000)));
    EXPECT_TRUE(is_nothing(chown(all, 2000, {kForeign, kForeign})));
    EXPECT_TRUE(is_nothing(chgrp(all, 2001, {kForeign, kForeign})));
}

TEST_F(PresenterTest, AllRefusesEverybodyElse) {
    for (const auto id : {0u, 1001u, kForeign, 2001u, kNobody}) {
        EXPECT_EQ(EPERM, error(chown(all, id))) << id;
    }
    EXPECT_EQ(EPERM, error(chgrp(all, 2000)));
    EXPECT_EQ(EPERM, error(chgrp(all, 1002)));
}

TEST_F(PresenterTest, OneRefusedIdRefusesBoth) {
    const OwnerRequest half{ClientUid(2000), ClientGid(kForeign)};
    EXPECT_EQ(EPERM, error(all.accept(half, ServerUid(1001), ServerGid(1002))));
    EXPECT_EQ(EPERM, error(mapped.accept(half, ServerUid(1001), ServerGid(1002))));
}

TEST_F(PresenterTest, MappedTakesWhatIsShownAlready) {
    EXPECT_TRUE(is_nothing(chown(mapped, 2000)));
    EXPECT_TRUE(is_nothing(chown(mapped, kForeign, {kForeign, 1002})));
    EXPECT_TRUE(is_nothing(chown(mapped, kNobody, {2000, 1002})));
    EXPECT_TRUE(is_nothing(chgrp(mapped, kNobody, {1001, 2001})));
}

TEST_F(PresenterTest, MappedGivesAForeignFileToTheIdentity) {
    const auto owner = chown(mapped, 2000, {kForeign, 1002});
    ASSERT_TRUE(owner);
    EXPECT_EQ(ServerUid(1001), owner->uid);
    EXPECT_FALSE(owner->gid);
    const auto group = chgrp(mapped, 2001, {1001, kForeign});
    ASSERT_TRUE(group);
    EXPECT_EQ(ServerGid(1002), group->gid);
    const auto hidden = chown(mapped, 2000, {2000, 1002});
    ASSERT_TRUE(hidden);
    EXPECT_EQ(ServerUid(1001), hidden->uid);
}

TEST_F(PresenterTest, MappedRefusesToGiveFilesAway) {
    EXPECT_EQ(EPERM, error(chown(mapped, kForeign)));
    EXPECT_EQ(EPERM, error(chown(mapped, 1001)));
    EXPECT_EQ(EPERM, error(chown(mapped, 0)));
    EXPECT_EQ(EPERM, error(chgrp(mapped, kForeign)));
}

TEST_F(PresenterTest, VerbatimPassesIdsThrough) {
    const auto both =
        verbatim.accept({ClientUid(kForeign), ClientGid(0)}, ServerUid(1001), ServerGid(1002));
    ASSERT_TRUE(both);
    EXPECT_EQ(ServerUid(kForeign), both->uid);
    EXPECT_EQ(ServerGid(0), both->gid);
    const auto same = chown(verbatim, 1001);
    ASSERT_TRUE(same);
    EXPECT_EQ(ServerUid(1001), same->uid);  // the server may have something to say to it
}

}  // namespace
}  // namespace uidnfs::mapper
