// SPDX-License-Identifier: Apache-2.0
// Against a directory that plays cgroupfs: a group is removed when the files in it are gone, which
// the kernel's groups keep while a process is in them.
#include "plugins/mounter/worker_groups.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace uidnfs::plugins::mounter {
namespace {

namespace fs = std::filesystem;

class WorkerGroupsTest : public testing::Test {
protected:
    void SetUp() override {
        char path[] = "/tmp/uidnfs-groups-XXXXXX";
        root = ::mkdtemp(path);
        fs::create_directories(own());
        write(tree() + "/cgroup.controllers", "cpu memory pids\n");
    }
    void TearDown() override { fs::remove_all(root); }

    std::string tree() const { return root + "/system.slice/uidnfsd.service"; }
    std::string own() const { return tree() + "/uidnfsd-daemon"; }
    WorkerGroups groups() const {
        WorkerGroups made(root, "/system.slice/uidnfsd.service/uidnfsd-daemon");
        made.prepare();
        return made;
    }
    static void write(const std::string& path, const std::string& text) {
        std::ofstream(path) << text;
    }
    static std::string read(const std::string& path) {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    std::string root;
};

TEST_F(WorkerGroupsTest, a_worker_gets_a_group_with_a_limit) {
    const auto made = groups().make("docker-web", 1000);
    EXPECT_EQ(made, tree() + "/worker-docker-web");
    EXPECT_EQ(read(*made + "/memory.max"), "1000");
    EXPECT_EQ(read(tree() + "/cgroup.subtree_control"), "+memory");
}

TEST_F(WorkerGroupsTest, one_that_still_flushes_counts_as_well) {
    auto there = groups();
    const auto first = there.make("docker-web", 1000);
    write(*first + "/cgroup.procs", "4711\n");
    EXPECT_EQ(there.make("docker-web", 1000), first);
    EXPECT_EQ(read(*first + "/memory.max"), "2000");
    write(*first + "/cgroup.procs", "");
    there.make("docker-web", 500);
    EXPECT_EQ(read(*first + "/memory.max").substr(0, 3), "500");
}

TEST_F(WorkerGroupsTest, empty_ones_are_removed) {
    auto there = groups();
    const auto made = there.make("docker-web", 1000);
    there.remove("docker-web");
    EXPECT_TRUE(fs::exists(*made)) << "a process is in it";
    fs::remove(*made + "/memory.max");
    there.remove("docker-web");
    EXPECT_FALSE(fs::exists(*made));
    there.remove("docker-web");
}

TEST_F(WorkerGroupsTest, one_with_a_process_that_still_ends_is_removed_with_the_next) {
    auto there = groups();
    const auto slow = there.make("docker-slow", 1000);
    const auto again = there.make("docker-again", 1000);
    const auto next = there.make("docker-next", 1000);
    there.remove("docker-slow");
    there.remove("docker-again");
    EXPECT_EQ(there.make("docker-again", 1000), again);
    for (const auto& one : {slow, again, next}) fs::remove(*one + "/memory.max");
    there.remove("docker-next");
    EXPECT_FALSE(fs::exists(*next));
    EXPECT_FALSE(fs::exists(*slow));
    EXPECT_TRUE(fs::exists(*again));  // its next worker has not joined it yet
}

TEST_F(WorkerGroupsTest, what_is_left_of_a_mounter_before_is_removed) {
    fs::create_directories(tree() + "/worker-docker-old");
    fs::create_directories(tree() + "/worker-docker-lives/process");
    fs::create_directories(tree() + "/another");
    groups();
    EXPECT_FALSE(fs::exists(tree() + "/worker-docker-old"));
    EXPECT_TRUE(fs::exists(tree() + "/worker-docker-lives"));
    EXPECT_TRUE(fs::exists(tree() + "/another"));
    EXPECT_TRUE(fs::exists(own()));
}

TEST_F(WorkerGroupsTest, there_are_none_without_the_controller) {
    write(tree() + "/cgroup.controllers", "cpu memoryless pids\n");
    auto there = groups();
    EXPECT_FALSE(there.are_there());
    EXPECT_EQ(there.make("docker-web", 1000), std::nullopt);
    there.remove("docker-web");
    EXPECT_FALSE(fs::exists(tree() + "/cgroup.subtree_control"));
}

TEST_F(WorkerGroupsTest, there_are_none_where_nobody_gave_us_a_tree) {
    for (const auto* path :
         {"", "/", "/system.slice/uidnfsd.service", "/uidnfsd-daemon/x", "/a/xuidnfsd-daemon"}) {
        WorkerGroups there(root, path);
        there.prepare();
        EXPECT_FALSE(there.are_there()) << path;
    }
    EXPECT_FALSE(WorkerGroups().are_there());
    EXPECT_FALSE(fs::exists(root + "/cgroup.subtree_control"));
}

TEST_F(WorkerGroupsTest, there_are_none_where_it_cannot_be_written) {
    fs::create_directories(tree() + "/cgroup.subtree_control");
    EXPECT_FALSE(groups().are_there());
}

TEST_F(WorkerGroupsTest, a_group_that_cannot_be_limited_is_none) {
    auto there = groups();
    fs::create_directories(tree() + "/worker-docker-web/memory.max");
    EXPECT_EQ(there.make("docker-web", 1000), std::nullopt);
    fs::remove_all(tree());
    EXPECT_EQ(there.make("docker-web", 1000), std::nullopt);
}

TEST(WorkerGroupLimit, it_has_room_for_more_than_the_worker_and_its_bytes) {
    EXPECT_EQ(group_limit(256, 64), 256u + 64u + (512ull << 20));
}

}  // namespace
}  // namespace uidnfs::plugins::mounter
