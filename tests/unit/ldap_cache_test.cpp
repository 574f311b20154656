// SPDX-License-Identifier: Apache-2.0
// What the cache serves when, what is kept in its file, and how passwords are hashed.
#include "ldap/cache.hpp"
#include "ldap/cache_file.hpp"
#include "ldap/hash.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace uidnfs::ldap {
namespace {

using namespace std::literals;

const core::SteadyTime kStart{};
constexpr PasswordHash kRight{1};
constexpr PasswordHash kWrong{2};

Identity identity(const std::string& user, std::uint32_t uid = 7) {
    Identity out{user, "uid=" + user, mapper::ServerUid(uid), mapper::ServerGid(8)};
    out.groups = {mapper::ServerGid(9), mapper::ServerGid(10)};
    return out;
}

Failure failure(FailureKind kind) { return {kind, "user", "operator"}; }

class CacheTest : public testing::Test {
protected:
    std::string judged(const PasswordHash* hash, core::SteadyDuration after) {
        const auto verdict = cache_.judge("alice", hash, kStart + after);
        if (std::holds_alternative<Cache::Fresh>(verdict)) return "fresh";
        if (std::holds_alternative<Cache::Stale>(verdict)) return "stale";
        if (std::holds_alternative<Cache::Rejected>(verdict)) return "rejected";
        return "unknown";
    }
    Cache cache_{{300s, 30s, 3600s, 3}};
};

TEST_F(CacheTest, FreshThenStaleThenNothing) {
    cache_.store(identity("alice"), kRight, kStart);
    EXPECT_EQ(judged(&kRight, 0s), "fresh");
    EXPECT_EQ(judged(&kRight, 299s), "fresh");
    EXPECT_EQ(judged(&kRight, 300s), "stale");
    EXPECT_EQ(judged(&kRight, 3599s), "stale");
    EXPECT_EQ(judged(&kRight, 3600s), "unknown");
    EXPECT_EQ(cache_.passwords_of("alice", kStart + 3599s), Cache::Passwords::some);
    EXPECT_EQ(cache_.passwords_of("alice", kStart + 3600s), Cache::Passwords::none);
}

TEST_F(CacheTest, OtherPasswordsAreUnknownAtAnyAge) {
    cache_.store(identity("alice"), kRight, kStart);
    EXPECT_EQ(judged(&kWrong, 0s), "unknown");
    EXPECT_EQ(judged(&kWrong, 1000s), "unknown");
}

TEST_F(CacheTest, IdentityWithoutHashVouchesForNoPassword) {
    cache_.store(identity("alice"), std::nullopt, kStart);
    EXPECT_EQ(judged(&kRight, 0s), "unknown");
    EXPECT_EQ(judged(nullptr, 0s), "fresh");
    EXPECT_EQ(cache_.passwords_of("alice", kStart), Cache::Passwords::none);
}

TEST_F(CacheTest, RejectionsEndAndTouchNoOtherPassword) {
    cache_.store(identity("alice"), kRight, kStart);
    cache_.reject("alice", kWrong, failure(FailureKind::bad_credentials), kStart);
    EXPECT_EQ(judged(&kWrong, 29s), "rejected");
    EXPECT_EQ(judged(&kRight, 29s), "fresh");
    EXPECT_EQ(judged(&kWrong, 30s), "unknown");
}

TEST_F(CacheTest, RejectionOfThePasswordItselfEndsTheIdentity) {
    cache_.store(identity("alice"), kRight, kStart);
    cache_.reject("alice", kRight, failure(FailureKind::bad_credentials), kStart + 301s);
    EXPECT_EQ(judged(&kRight, 302s), "rejected");
    EXPECT_EQ(judged(&kRight, 340s), "unknown") << "and no stale one comes back";
}

TEST_F(CacheTest, NewPasswordEndsTheOld) {
    cache_.store(identity("alice"), kRight, kStart);
    cache_.store(identity("alice"), kWrong, kStart + 1s);
    EXPECT_EQ(judged(&kRight, 2s), "unknown");
    EXPECT_EQ(judged(&kWrong, 2s), "fresh");
}

TEST_F(CacheTest, RefusalOfTheUserEndsTheIdentityWhateverThePassword) {
    cache_.store(identity("alice"), kRight, kStart);
    cache_.refuse("alice", failure(FailureKind::account_disabled), kStart + 1s);
    EXPECT_TRUE(cache_.failure_of("alice", kStart + 30s));
    EXPECT_FALSE(cache_.failure_of("alice", kStart + 31s));
    EXPECT_EQ(judged(&kRight, 32s), "unknown");
}

TEST_F(CacheTest, RecheckEndsWhatDiffers) {
    cache_.store(identity("alice"), kRight, kStart);
    cache_.drop_unless(identity("alice"));
    EXPECT_EQ(judged(&kRight, 1s), "fresh");
    cache_.drop_unless(identity("alice", 77));
    EXPECT_EQ(judged(&kRight, 1s), "unknown");
}

TEST_F(CacheTest, IsBoundedAndForgetsTheLeastUsed) {
    for (const auto* user : {"alice", "b", "c"}) cache_.store(identity(user), kRight, kStart);
    EXPECT_EQ(judged(&kRight, 1s), "fresh");
    cache_.store(identity("d"), kRight, kStart);
    EXPECT_EQ(cache_.size(), 3u);
    EXPECT_EQ(judged(&kRight, 1s), "fresh") << "used a moment ago";
    EXPECT_EQ(cache_.passwords_of("b", kStart), Cache::Passwords::none);
    for (std::uint8_t i = 0; i < 100; ++i) {
        cache_.reject("d", PasswordHash{i}, failure(FailureKind::bad_credentials), kStart);
    }
    EXPECT_EQ(cache_.passwords_of("d", kStart), Cache::Passwords::some);
}

TEST(Hashes, DependOnUserPasswordAndRun) {
    const PasswordHasher one;
    const PasswordHasher two;
    const core::Secret password("secret");
    const auto hash = one.hash("alice", password);
    ASSERT_TRUE(hash);
    EXPECT_EQ(one.hash("alice", password), hash);
    EXPECT_NE(one.hash("bob", password), hash);
    EXPECT_NE(one.hash("alice", core::Secret("secreT")), hash);
    EXPECT_NE(two.hash("alice", password), hash);
}

class CacheFile : public testing::Test {
protected:
    CacheFile() {
        auto pattern = (std::filesystem::temp_directory_path() / "uidnfs-XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
        path_ = folder_ / "identities";
    }
    ~CacheFile() override { std::filesystem::remove_all(folder_); }

    std::filesystem::path folder_;
    std::string path_;
};

TEST_F(CacheFile, GivesBackWhatItGot) {
    auto alice = identity("al ice,%:\n\xc3\xb6");
    alice.left_out = {{LeftOut::Why::too_many, "a, b:c", "11"}, {LeftOut::Why::root, "", "0"}};
    alice.server = "ldaps://h";
    alice.verified_at = std::chrono::system_clock::time_point(1'700'000'000s);
    auto bob = identity("bob");
    bob.groups.clear();
    const auto text = write_identities({alice, bob}, "f00");
    const auto back = read_identities(text, "f00");
    ASSERT_TRUE(back) << back.error().user_text;
    ASSERT_EQ(back->size(), 2u);
    EXPECT_EQ(back->at(0).user, alice.user);
    EXPECT_TRUE(back->at(0).same_ids(alice));
    EXPECT_EQ(back->at(0).left_out, alice.left_out);
    EXPECT_EQ(back->at(0).dn, alice.dn);
    EXPECT_EQ(back->at(0).server, alice.server);
    EXPECT_EQ(back->at(0).verified_at, alice.verified_at);
    EXPECT_TRUE(back->at(1).same_ids(bob));
}

TEST_F(CacheFile, IsAllOrNothing) {
    const auto text = write_identities({identity("alice"), identity("bob")}, "f00");
    for (std::size_t size = 0; size < text.size(); ++size) {
        EXPECT_FALSE(
            read_identities(text.substr(0, size), "f00") && size + 1 < text.size() &&
            text[size - 1] != '\n'
        ) << size;
    }
    EXPECT_FALSE(read_identities(text, "other")) << "another configuration";
    auto damaged = text;
    damaged.replace(damaged.find(" 7 "), 3, " x ");
    EXPECT_FALSE(read_identities(damaged, "f00"));
    damaged = text;
    damaged.replace(damaged.find(" 7 "), 3, " 4294967295 ");
    EXPECT_FALSE(read_identities(damaged, "f00"));
}

TEST_F(CacheFile, IsReplacedAsAWholeAndOnlyOurs) {
    ::umask(0);
    std::ofstream(path_ + ".new") << "left by somebody";
    ASSERT_TRUE(save_file(path_, "one"));
    ASSERT_TRUE(save_file(path_, "two"));
    struct stat about {};
    ASSERT_EQ(::stat(path_.c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 07777, 0600u);
    EXPECT_EQ(*load_file(path_), "two");
    EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
    ::chmod(path_.c_str(), 0644);
    EXPECT_EQ(load_file(path_).error().code, EPERM);
    ::chmod(path_.c_str(), 0600);
    std::filesystem::rename(path_, path_ + ".real");
    std::filesystem::create_symlink(path_ + ".real", path_);
    EXPECT_FALSE(load_file(path_)) << "a link";
    EXPECT_EQ(load_file(path_ + ".none").error().code, ENOENT);
}

TEST(Fingerprints, ChangeWithWhatDecidesAnIdentity) {
    Options options;
    options.urls = {"ldaps://a"};
    const auto before = fingerprint(options);
    options.timeout = 9s;
    EXPECT_EQ(fingerprint(options), before);
    options.user_filter = "(cn={username})";
    EXPECT_NE(fingerprint(options), before);
    Options other;
    other.urls = {"ldaps://a"};
    other.verify_password = false;
    EXPECT_NE(fingerprint(other), before) << "believed users are not verified ones";
}

}  // namespace
}  // namespace uidnfs::ldap
