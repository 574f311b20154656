// SPDX-License-Identifier: Apache-2.0
// The whole program as a function: what it prints where, and how it exits, as far as no mount is
// made.
#include "app/commands.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace uidnfs::app {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

class Recorder final : public Console {
public:
    void print(std::string_view text) override { out += text; }
    void complain(std::string_view text) override { (err += text) += '\n'; }
    std::string out;
    std::string err;
};

class Program : public testing::Test {
protected:
    int run(std::vector<std::string> words) {
        words.insert(words.begin(), "uidnfs");
        console_ = {};
        return run_program(words, console_);
    }
    Recorder console_;
};

TEST_F(Program, PrintsHelpAndVersionOnStandardOutput) {
    EXPECT_EQ(run({"--version"}), kExitDone);
    EXPECT_THAT(console_.out, HasSubstr("uidnfs "));
    EXPECT_EQ(run({"mount", "--help"}), kExitDone);
    EXPECT_THAT(console_.out, HasSubstr("uid="));
    EXPECT_EQ(console_.err, "");
}

TEST_F(Program, ComplainsAboutWrongUsageAndExits2) {
    EXPECT_EQ(run({}), kExitUsage);
    EXPECT_EQ(run({"mount"}), kExitUsage);
    EXPECT_THAT(console_.err, HasSubstr("SOURCE"));
    EXPECT_EQ(console_.out, "");
}

TEST_F(Program, SaysWhichOptionIsWrongInOneLine) {
    EXPECT_EQ(run({"mount", "nas1:/a", "/", "-o", "uid=1,gid=1,timoe=5"}), kExitUsage);
    EXPECT_THAT(console_.err, MatchesRegex("cannot mount nas1:/a: .*timoe.*timeo[^\n]*\n"));
}

TEST_F(Program, RefusesAMissingMountpoint) {
    EXPECT_EQ(run({"mount", "nas1:/a", "/no/such", "-o", "uid=1,gid=1"}), kExitFailed);
    EXPECT_THAT(
        console_.err,
        MatchesRegex("cannot mount nas1:/a on /no/such: the mount point does not exist; [^\n]*\n")
    );
}

TEST_F(Program, RefusesAReadyDescriptorThatIsClosed) {
    EXPECT_EQ(run({"mount", "nas1:/a", "/", "-o", "uid=1,gid=1", "--ready-fd", "999"}), kExitUsage);
    EXPECT_THAT(console_.err, HasSubstr("--ready-fd 999"));
}

TEST_F(Program, RefusesADescriptorThatIsNotFuse) {
    EXPECT_EQ(run({"mount", "nas1:/a", "/dev/fd/2", "-o", "uid=1,gid=1"}), kExitFailed);
    EXPECT_THAT(console_.err, HasSubstr("descriptor 2 is not an open /dev/fuse"));
}

TEST_F(Program, UnmountsOnlyMountsOfItsOwn) {
    EXPECT_EQ(run({"umount", "/proc"}), kExitFailed);
    EXPECT_THAT(
        console_.err, HasSubstr("cannot unmount /proc: it is a mount of type proc, not of")
    );
    EXPECT_EQ(run({"umount", "/no-such-place"}), kExitFailed);
    EXPECT_THAT(console_.err, HasSubstr("not a mount point"));
}

TEST_F(Program, HasNoStatusForOthersMounts) {
    EXPECT_EQ(run({"status", "/proc"}), kExitFailed);
    EXPECT_THAT(console_.err, HasSubstr("it is not a mount of uidnfs"));
}

TEST_F(Program, DoesNotStartRolesByHand) {
    EXPECT_EQ(run({"keeper", "a:/b", "/m"}), kExitUsage);
    EXPECT_EQ(run({"worker", "a:/b", "/m"}), kExitUsage);
    EXPECT_THAT(console_.err, HasSubstr("is started by uidnfs mount"));
}

}  // namespace
}  // namespace uidnfs::app
