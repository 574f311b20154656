// SPDX-License-Identifier: Apache-2.0
// credentials=NAME: who may have written the file, and that its content is never told.
#include "plugins/core/credentials.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace uidnfs::plugins {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CredentialsTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string name = ::testing::TempDir() + "uidnfs-credentials-XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        root = name;
    }
    void TearDown() override { std::filesystem::remove_all(root); }

    void write(std::string_view text, mode_t mode = 0600) {
        std::ofstream(root + "/web") << text;
        ::chmod((root + "/web").c_str(), mode);
    }
    std::string refusal() {
        const auto login = read_credentials(root, "web");
        return login ? "accepted" : login.error().user_text;
    }

    std::string root;
};

TEST_F(CredentialsTest, user_and_password) {
    write("# of the web team\nusername=jane\n\npassword=a=b c \r\n");
    const auto login = read_credentials(root, "web");
    ASSERT_TRUE(login) << login.error().user_text;
    EXPECT_EQ(login->username, "jane");
    EXPECT_EQ(login->password.reveal(), "a=b c ");
}

TEST_F(CredentialsTest, files_that_others_can_touch_are_refused) {
    for (const mode_t mode : {0644, 0604, 0660, 0602, 0620}) {
        write("username=jane\npassword=pw\n", mode);
        EXPECT_THAT(refusal(), HasSubstr("others could read or change the file")) << mode;
    }
    write("username=jane\npassword=pw\n", 0640);
    ASSERT_EQ(::chown((root + "/web").c_str(), -1, ::getegid()), 0);
    EXPECT_EQ(refusal(), "accepted");
    if (::geteuid() == 0) {
        ASSERT_EQ(::chown((root + "/web").c_str(), -1, 12345), 0);
        EXPECT_THAT(refusal(), HasSubstr("others could read"));
        ASSERT_EQ(::chown((root + "/web").c_str(), 12345, 0), 0);
        EXPECT_THAT(refusal(), HasSubstr("others could read"));
    }
}

TEST_F(CredentialsTest, files_that_are_none) {
    EXPECT_THAT(refusal(), HasSubstr("credentials=web: the operator made no such file"));
    std::filesystem::create_symlink("/etc/hostname", root + "/web");
    EXPECT_THAT(refusal(), HasSubstr("symbolic links"));
    std::filesystem::remove(root + "/web");
    ::mkfifo((root + "/web").c_str(), 0600);
    EXPECT_THAT(refusal(), HasSubstr("Invalid argument"));
    std::filesystem::remove(root + "/web");
    write(std::string(5000, '#'));
    EXPECT_THAT(refusal(), HasSubstr("File too large"));
}

TEST_F(CredentialsTest, content_is_never_told) {
    for (const auto* text : {"hunter2", "username=\npassword=hunter2", "password=hunter2", ""}) {
        write(text);
        EXPECT_THAT(refusal(), HasSubstr("tell the operator"));
        EXPECT_THAT(refusal(), Not(HasSubstr("hunter2")));
    }
}

}  // namespace
}  // namespace uidnfs::plugins
