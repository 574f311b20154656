// SPDX-License-Identifier: Apache-2.0
// Whether the daemon itself can work.
#include "plugins/observe/daemon_health.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace uidnfs::plugins::testing {
namespace {

using ::testing::HasSubstr;

class DaemonHealthTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string name = ::testing::TempDir() + "uidnfs-health-XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        root = name;
    }
    void TearDown() override { std::filesystem::remove_all(root); }

    std::string root;
};

TEST_F(DaemonHealthTest, is_well_and_leaves_nothing_behind) {
    EXPECT_TRUE(DaemonHealth({root, root}).check());
    EXPECT_TRUE(std::filesystem::is_empty(root));
}

TEST_F(DaemonHealthTest, damaged_state_files_are_told_and_no_reason) {
    DaemonHealth health({root});
    EXPECT_EQ(health.check().value(), "");
    health.set_damaged_files(2);
    EXPECT_THAT(health.check().value(), HasSubstr("state files that are damaged: 2;"));
}

TEST_F(DaemonHealthTest, a_directory_that_is_gone_is_named) {
    const auto checked = DaemonHealth({root, root + "/gone"}).check();
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code, ENOENT);
    EXPECT_THAT(checked.error().user_text, HasSubstr("cannot write to " + root + "/gone: No such"));
}

TEST_F(DaemonHealthTest, a_full_disk_is_told) {
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit full{100, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &full);
    const auto checked = check_can_keep(root);
    ::setrlimit(RLIMIT_FSIZE, &before);
    ::signal(SIGXFSZ, SIG_DFL);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code, ENOSPC);
    EXPECT_TRUE(check_can_keep(root));
}

TEST_F(DaemonHealthTest, a_file_is_no_directory) {
    std::ofstream(root + "/file") << "x";
    EXPECT_EQ(check_can_keep(root + "/file").error().code, ENOTDIR);
}

TEST_F(DaemonHealthTest, without_a_mounter_nothing_works) {
    DaemonHealth health({root});
    health.mounter_gone();
    EXPECT_THAT(health.check().error().user_text, HasSubstr("the mounter process is gone"));
}

}  // namespace
}  // namespace uidnfs::plugins::testing
