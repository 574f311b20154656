// SPDX-License-Identifier: Apache-2.0
#include "app/commands.hpp"
#include "app/helper_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace uidnfs::app {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::string>;

HelperMount mount(const Words& words) {
    auto command = parse_helper_line(Helper::mount, words).command;
    if (auto* result = std::get_if<HelperMount>(&command)) return std::move(*result);
    ADD_FAILURE() << "refused";
    return {};
}

UmountArguments::How umount(const Words& words) {
    auto command = parse_helper_line(Helper::umount, words).command;
    if (auto* result = std::get_if<UmountArguments>(&command)) return result->how;
    ADD_FAILURE() << "refused";
    return {};
}

std::string misuse(Helper helper, const Words& words) {
    const auto command = parse_helper_line(helper, words).command;
    const auto* error = std::get_if<UsageError>(&command);
    return error ? error->text : "accepted";
}

class Recorder final : public Console {
public:
    void print(std::string_view text) override { out += text; }
    void complain(std::string_view text) override { (err += text) += '\n'; }
    std::string out;
    std::string err;
};

TEST(HelperRole, ComesFromTheNameOfTheProgram) {
    EXPECT_EQ(helper_role("/sbin/mount.uidnfs"), Helper::mount);
    EXPECT_EQ(helper_role("mount.fuse.uidnfs"), Helper::mount);
    EXPECT_EQ(helper_role("/usr/sbin/umount.fuse.uidnfs"), Helper::umount);
    for (const auto* name : {"uidnfs", "/sbin/uidnfs", "mount.nfs", "xmount.uidnfs", ""}) {
        EXPECT_EQ(helper_role(name), std::nullopt) << name;
    }
}

TEST(HelperLine, IsWhatMountPasses) {
    const auto command = mount({"nas1:/a", "/mnt", "-o", "rw,uid=1,gid=2,_netdev", "-v"});
    EXPECT_EQ(command.arguments.source, "nas1:/a");
    EXPECT_EQ(command.arguments.mountpoint, "/mnt");
    ASSERT_EQ(command.arguments.options.size(), 4u);
    EXPECT_EQ(command.arguments.options[1].value, "1");
    EXPECT_EQ(command.doing, HelperMount::Doing::really);
}

TEST(HelperLine, TakesFlagsTogetherAndApart) {
    const auto command = mount({"-sfn", "nas1:/a", "/mnt", "-tfuse.uidnfs", "-oro"});
    EXPECT_EQ(command.doing, HelperMount::Doing::fake);
    ASSERT_EQ(command.arguments.options.size(), 2u);
    EXPECT_EQ(command.arguments.options[0].name, "sloppy");
    EXPECT_EQ(command.arguments.options[1].name, "ro");
}

TEST(HelperLine, KnowsHowUmountEnds) {
    using How = UmountArguments::How;
    EXPECT_EQ(umount({"/mnt"}), How::orderly);
    EXPECT_EQ(umount({"/mnt", "-nv", "-t", "fuse.uidnfs"}), How::orderly);
    EXPECT_EQ(umount({"/mnt", "-l"}), How::lazy);
    EXPECT_EQ(umount({"-f", "/mnt"}), How::force);
    EXPECT_EQ(umount({"-fl", "/mnt"}), How::lazy);
}

TEST(HelperLine, TakesANamespaceByPathOrByProcess) {
    const auto of = [](const Words& words) {
        return parse_helper_line(Helper::mount, words).mount_namespace;
    };
    EXPECT_EQ(of({"a:/b", "/m"}), "");
    EXPECT_EQ(of({"a:/b", "/m", "-N", "/run/netns/x"}), "/run/netns/x");
    EXPECT_EQ(of({"a:/b", "/m", "-N123"}), "/proc/123/ns/mnt");
}

TEST(HelperLine, RefusesWhatItDoesNotKnow) {
    EXPECT_THAT(misuse(Helper::mount, {"nas1:/a"}), HasSubstr("one source and one mount point"));
    EXPECT_THAT(misuse(Helper::mount, {"a:/b", "/m", "/n"}), HasSubstr("usage: mount.uidnfs"));
    EXPECT_THAT(misuse(Helper::mount, {"a:/b", "/m", "-x"}), HasSubstr("unknown flag -x"));
    EXPECT_THAT(misuse(Helper::mount, {"a:/b", "/m", "-o"}), HasSubstr("-o needs a value"));
    EXPECT_THAT(misuse(Helper::umount, {}), HasSubstr("usage: umount.uidnfs"));
    EXPECT_THAT(misuse(Helper::umount, {"/m", "-s"}), HasSubstr("unknown flag -s"));
}

TEST(HelperExit, IsThatOfMount8) {
    Recorder console;
    const auto run = [&](const Words& words) { return run_program(words, console); };
    EXPECT_EQ(run({"/sbin/mount.uidnfs", "nas1:/a"}), 1);
    EXPECT_EQ(run({"/sbin/mount.uidnfs", "nas1:/a", "/mnt", "-o", "uid=1"}), 1);
    EXPECT_EQ(run({"/sbin/mount.uidnfs", "nas1:/a", "/no/such", "-o", "uid=1,gid=1"}), 32);
    EXPECT_EQ(run({"/sbin/mount.uidnfs", "nas1:/a", "/no/such", "-f", "-o", "uid=1,gid=1"}), 0);
    EXPECT_EQ(run({"/sbin/umount.uidnfs", "/proc"}), 32);
    EXPECT_EQ(run({"/sbin/umount.uidnfs", "/proc", "-N", "/no/such/namespace"}), 2);
    EXPECT_EQ(run({"/sbin/mount.uidnfs", "nas1:/a", "/proc", "-o", "remount,ro"}), 32);
}

}  // namespace
}  // namespace uidnfs::app
