// SPDX-License-Identifier: Apache-2.0
// The names under which listening sockets are kept: they fit as long as clients find that socket.
#include "plugins/http/listen.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace uidnfs::plugins::http {
namespace {

class KeptListenerTest : public testing::Test {
protected:
    void SetUp() override {
        char path[] = "/tmp/uidnfs-listen-XXXXXX";
        root = ::mkdtemp(path);
        where = root + "/d.sock";
    }
    void TearDown() override { std::filesystem::remove_all(root); }

    static Listener inherited(const Listener& from, std::string name) {
        return {core::Fd(::dup(from.socket.get())), from.family, std::move(name)};
    }

    std::string root;
    std::string where;
};

TEST_F(KeptListenerTest, it_is_found_by_its_door_and_place) {
    const auto first = listen_unix(where);
    ASSERT_TRUE(first);
    const auto again = inherited(*first, name_to_keep("docker", where, *first));
    EXPECT_TRUE(is_kept(again));
    EXPECT_TRUE(is_kept(again, "docker"));
    EXPECT_FALSE(is_kept(again, "dock"));
    EXPECT_TRUE(is_kept_for(again, "docker", where));
    EXPECT_FALSE(is_kept_for(again, "admin", where));
    EXPECT_FALSE(is_kept_for(again, "docker", where + "2"));
}

TEST_F(KeptListenerTest, another_file_in_its_place_is_not_it) {
    auto first = listen_unix(where);
    ASSERT_TRUE(first);
    const auto again = inherited(*first, name_to_keep("docker", where, *first));
    std::filesystem::rename(where, where + ".old");
    EXPECT_FALSE(is_kept_for(again, "docker", where));
    // The old file still has its number, so the new one has another.
    ASSERT_TRUE(listen_unix(where));
    EXPECT_FALSE(is_kept_for(again, "docker", where));
}

TEST_F(KeptListenerTest, tcp_is_known_by_its_address) {
    const auto first = listen_tcp("127.0.0.1:0");
    ASSERT_TRUE(first);
    const auto name = name_to_keep("cloudfoundry", "127.0.0.1:7589", *first);
    EXPECT_EQ(name.find(':'), std::string::npos) << name;
    const auto again = inherited(*first, name);
    EXPECT_TRUE(is_kept_for(again, "cloudfoundry", "127.0.0.1:7589"));
    EXPECT_FALSE(is_kept_for(again, "cloudfoundry", "127.0.0.1:7590"));
}

TEST_F(KeptListenerTest, what_the_service_manager_opened_is_not_kept_by_us) {
    const auto first = listen_unix(where);
    ASSERT_TRUE(first);
    EXPECT_FALSE(is_kept(inherited(*first, "docker")));
    EXPECT_FALSE(is_kept_for(inherited(*first, "docker"), "docker", where));
    EXPECT_FALSE(is_kept_for(inherited(*first, ""), "docker", where));
}

TEST_F(KeptListenerTest, a_place_that_fits_no_name_is_not_kept) {
    const auto first = listen_unix(where);
    ASSERT_TRUE(first);
    EXPECT_EQ(name_to_keep("docker", "/run/a b", *first), "");
    EXPECT_EQ(name_to_keep("docker", "/run/\n", *first), "");
    EXPECT_EQ(name_to_keep("docker", "/" + std::string(255, 'x'), *first), "");
}

}  // namespace
}  // namespace uidnfs::plugins::http
