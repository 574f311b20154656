// SPDX-License-Identifier: Apache-2.0
// Gate: who may use a mount.
#include "mapper/gate.hpp"

#include <gtest/gtest.h>

namespace uidnfs::mapper {
namespace {

constexpr ClientUid kApp(2000);
constexpr ClientUid kRoot(0);
constexpr ClientUid kOther(999);

TEST(GateTest, AppLetsTheApplicationAndRootIn) {
    const Gate gate(Access::app, kApp);
    EXPECT_TRUE(gate.may_enter(kApp));
    EXPECT_TRUE(gate.may_enter(kRoot));
    EXPECT_FALSE(gate.may_enter(kOther));
    EXPECT_FALSE(gate.may_enter(ClientUid(kNoId)));
}

TEST(GateTest, StrictLetsTheApplicationAlone) {
    const Gate gate(Access::strict, kApp);
    EXPECT_TRUE(gate.may_enter(kApp));
    EXPECT_FALSE(gate.may_enter(kRoot));
    EXPECT_FALSE(gate.may_enter(kOther));
}

TEST(GateTest, AnyLetsEverybodyIn) {
    const Gate gate(Access::any, kApp);
    EXPECT_TRUE(gate.may_enter(kApp));
    EXPECT_TRUE(gate.may_enter(kRoot));
    EXPECT_TRUE(gate.may_enter(kOther));
}

TEST(GateTest, StrictWithRootAsTheApplication) {
    const Gate gate(Access::strict, kRoot);
    EXPECT_TRUE(gate.may_enter(kRoot));
    EXPECT_FALSE(gate.may_enter(kApp));
}

TEST(GateTest, SaysWhatItWasMadeOf) {
    const Gate gate(Access::strict, kApp);
    EXPECT_EQ(Access::strict, gate.access());
    EXPECT_EQ(kApp, gate.app_uid());
}

}  // namespace
}  // namespace uidnfs::mapper
