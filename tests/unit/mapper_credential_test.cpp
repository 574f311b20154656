// SPDX-License-Identifier: Apache-2.0
// Credential: bytes on the wire (RFC 5531 section 8.2 and appendix A), limits, refusals.
#include "mapper/credential.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <initializer_list>

namespace uidnfs::mapper {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;

Credential::Identity identity(
    std::uint32_t uid, std::uint32_t gid, std::initializer_list<std::uint32_t> groups = {}
) {
    Credential::Identity made{ServerUid(uid), ServerGid(gid)};
    for (const auto group : groups) made.groups.emplace_back(group);
    return made;
}

Credential::Identity with_groups(std::uint32_t count) {
    auto made = identity(1001, 1001);
    for (std::uint32_t i = 0; i < count; ++i) made.groups.emplace_back(5000 + i);
    return made;
}

core::Failure failure(Credential::Identity made, std::string machine = "nas") {
    const auto outcome = Credential::make(std::move(made), std::move(machine));
    return outcome ? core::Failure{0, "made"} : outcome.error();
}

std::vector<unsigned> bytes(const Credential& credential) {
    std::vector<unsigned> out;
    for (const auto byte : credential.encoded()) out.push_back(std::to_integer<unsigned>(byte));
    return out;
}

/// Big-endian words, as XDR has them (RFC 4506 section 4.1).
std::vector<unsigned> words(std::initializer_list<std::uint32_t> values) {
    std::vector<unsigned> out;
    for (const auto value : values) {
        for (const int shift : {24, 16, 8, 0}) out.push_back(value >> shift & 0xff);
    }
    return out;
}

TEST(CredentialTest, EncodingByteForByte) {
    const auto credential = *Credential::make(identity(1001, 0x01020304, {5, 4294967294}), "nas");
    EXPECT_THAT(
        bytes(*credential),
        ElementsAreArray(words({
            1,           // AUTH_SYS
            32,          // length of the body
            0,           // stamp
            3,           // length of the machine name
            0x6e617300,  // "nas", padded
            1001,
            0x01020304,
            2,  // groups
            5,
            4294967294,
            0,  // verifier: AUTH_NONE
            0,  // of no bytes
        }))
    );
}

TEST(CredentialTest, MachineNameOfWholeWordsHasNoPadding) {
    const auto credential = *Credential::make(identity(1, 2), "nas1");
    EXPECT_THAT(
        bytes(*credential), ElementsAreArray(words({1, 24, 0, 4, 0x6e617331, 1, 2, 0, 0, 0}))
    );
}

TEST(CredentialTest, LargestOneFitsIntoOpaqueAuth) {
    const auto credential = *Credential::make(with_groups(16), std::string(255, 'm'));
    const auto encoded = bytes(*credential);
    const auto body = encoded[6] * 256 + encoded[7];
    EXPECT_EQ(4u + 4 + 256 + 4 + 4 + 4 + 16 * 4, body);
    EXPECT_EQ(encoded.size(), 8 + body + 8);
    EXPECT_LE(body, 400u);  // RFC 5531 section 8.2
}

TEST(CredentialTest, IdentityIsKept) {
    const auto credential = *Credential::make(identity(1001, 1002, {5, 7}), "nas");
    EXPECT_EQ(ServerUid(1001), credential->uid());
    EXPECT_EQ(ServerGid(1002), credential->gid());
    EXPECT_THAT(credential->groups(), testing::ElementsAre(ServerGid(5), ServerGid(7)));
    EXPECT_EQ("nas", credential->machine_name());
    EXPECT_EQ("1001:1002 groups 5,7", credential->describe());
    EXPECT_EQ("1:2", (*Credential::make(identity(1, 2), "nas"))->describe());
}

TEST(CredentialTest, RootIsRefusedWhereverItStands) {
    for (const auto& root : {identity(0, 1), identity(1, 0), identity(1, 1, {5, 0})}) {
        EXPECT_EQ(EPERM, failure(root).code);
        EXPECT_THAT(failure(root).user_text, HasSubstr("allow_root_identity"));
        EXPECT_TRUE(Credential::make(root, "nas", RootIdentity::allowed));
    }
}

TEST(CredentialTest, NobodysIdIsRefusedAlsoWhereRootIsAllowed) {
    for (const auto& nobody : {identity(kNoId, 1), identity(1, kNoId), identity(1, 1, {kNoId})}) {
        const auto outcome = Credential::make(nobody, "nas", RootIdentity::allowed);
        ASSERT_FALSE(outcome);
        EXPECT_EQ(EINVAL, outcome.error().code);
        EXPECT_THAT(outcome.error().user_text, HasSubstr("4294967295"));
    }
}

TEST(CredentialTest, SixteenGroupsFitAndTheSeventeenthIsNamed) {
    EXPECT_TRUE(Credential::make(with_groups(16), "nas"));
    const auto refused = failure(with_groups(17));
    EXPECT_EQ(EINVAL, refused.code);
    EXPECT_THAT(refused.user_text, HasSubstr("17 supplementary groups"));
    EXPECT_THAT(refused.user_text, HasSubstr("5016"));
}

TEST(CredentialTest, MachineNameHasOneTo255Bytes) {
    EXPECT_EQ(EINVAL, failure(identity(1, 1), "").code);
    EXPECT_EQ(EINVAL, failure(identity(1, 1), std::string(256, 'm')).code);
    EXPECT_TRUE(Credential::make(identity(1, 1), std::string(255, 'm')));
}

}  // namespace
}  // namespace uidnfs::mapper
