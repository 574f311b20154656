// SPDX-License-Identifier: Apache-2.0
#include "app/command_line.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace uidnfs::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Words = std::vector<std::string>;

template <class T>
T parsed(const Words& words) {
    auto command = parse_command_line(words);
    if (auto* error = std::get_if<UsageError>(&command)) ADD_FAILURE() << error->text;
    if (auto* result = std::get_if<T>(&command)) return std::move(*result);
    ADD_FAILURE() << "another command";
    return T{};
}

std::string misuse(const Words& words) {
    const auto command = parse_command_line(words);
    const auto* error = std::get_if<UsageError>(&command);
    return error ? error->text : "accepted";
}

std::string shown(const Words& words) {
    const auto command = parse_command_line(words);
    const auto* text = std::get_if<ShowText>(&command);
    return text ? text->text : "";
}

Words spelled(const MountArguments& arguments) {
    Words words;
    for (const auto& option : arguments.options) {
        words.push_back(option.name + (option.value ? "=" + *option.value : ""));
    }
    return words;
}

TEST(MountLine, HasSourceAndMountpoint) {
    const auto mount = parsed<MountArguments>({"mount", "nas1:/a", "/mnt"});
    EXPECT_EQ(mount.source, "nas1:/a");
    EXPECT_EQ(mount.mountpoint, "/mnt");
    EXPECT_TRUE(mount.options.empty());
    EXPECT_EQ(mount.stay, Stay::background);
    EXPECT_EQ(mount.ready_fd, std::nullopt);
}

TEST(MountLine, KeepsTheOrderOfOptionsWhicheverWayTheyAreWritten) {
    const auto mount = parsed<MountArguments>(
        {"mount",
         "-o",
         "uid=1,ro",
         "--gid=2",
         "nas1:/a",
         "-ogids=3:4",
         "--rw",
         "/mnt",
         "--timeo",
         "5"}
    );
    EXPECT_THAT(spelled(mount), ElementsAre("uid=1", "ro", "gid=2", "gids=3:4", "rw", "timeo=5"));
    EXPECT_EQ(mount.mountpoint, "/mnt");
}

TEST(MountLine, GivesAFlagOptionNoValueOfTheNextWord) {
    const auto mount = parsed<MountArguments>({"mount", "--hard", "nas1:/a", "/mnt"});
    EXPECT_THAT(spelled(mount), ElementsAre("hard"));
    EXPECT_EQ(mount.source, "nas1:/a");
}

TEST(MountLine, NamesWhatNobodyTakes) {
    EXPECT_EQ(
        misuse({"mount", "-t", "uidnfs", "nas1:/a", "/mnt"}),
        "uidnfs mount: unknown flag -t; see uidnfs mount --help"
    );
    EXPECT_EQ(
        misuse({"mount", "nas1:/a", "/mnt", "-o", "uid=1", "gid=1"}),
        "uidnfs mount: gid=1 is one argument too many; see uidnfs mount --help"
    );
}

TEST(MountLine, SaysWhyOptionsBecameArguments) {
    for (const std::string command : {"mount", "check"}) {
        EXPECT_EQ(
            misuse({command, "-o", "uid=1,", "gid=1", "nas1:/a", "/mnt"}),
            fmt::format(
                "uidnfs {0}: {1} is one argument too many, and a comma ends the options of -o: "
                "write them without blanks; see uidnfs {0} --help",
                command,
                command == "mount" ? "/mnt" : "nas1:/a"
            )
        );
    }
    EXPECT_EQ(parsed<MountArguments>({"mount", "a:/b", "/m", "-o", "ro,"}).mountpoint, "/m");
}

TEST(MountLine, NamesTheFlagThatWasMeant) {
    EXPECT_EQ(
        misuse({"mount", "a:/b", "/m", "--foregound"}),
        "uidnfs mount: unknown flag --foregound (did you mean --foreground?); see uidnfs mount "
        "--help"
    );
    EXPECT_THAT(misuse({"check", "a:/b", "--wrte"}), HasSubstr("did you mean --write?"));
    EXPECT_THAT(
        spelled(parsed<MountArguments>({"mount", "a:/b", "/m", "--retri=0"})),
        ElementsAre("retri=0")
    );
}

TEST(MountLine, LeavesUnknownOptionsToTheTable) {
    EXPECT_THAT(
        spelled(parsed<MountArguments>({"mount", "a:/b", "/mnt", "--nonsense=1"})),
        ElementsAre("nonsense=1")
    );
}

TEST(MountLine, HasFlagsOfItsOwn) {
    const auto mount =
        parsed<MountArguments>({"mount", "a:/b", "/mnt", "--foreground", "--ready-fd", "9"});
    EXPECT_EQ(mount.stay, Stay::foreground);
    EXPECT_EQ(mount.ready_fd, 9);
    EXPECT_EQ(parsed<MountArguments>({"mount", "a:/b", "/m", "--ready-fd=7"}).ready_fd, 7);
}

TEST(MountLine, EndsOptionsAtTwoDashes) {
    EXPECT_EQ(parsed<MountArguments>({"mount", "a:/b", "--", "--odd"}).mountpoint, "--odd");
}

TEST(MountLine, SaysWhatIsMissingOrTooMuch) {
    EXPECT_THAT(misuse({"mount"}), HasSubstr("SOURCE"));
    EXPECT_THAT(misuse({"mount", "a:/b"}), HasSubstr("MOUNTPOINT"));
    EXPECT_THAT(misuse({"mount", "a:/b", "/m", "/n"}), HasSubstr("/n"));
    EXPECT_THAT(misuse({"mount", "a:/b", ""}), HasSubstr("MOUNTPOINT"));
    EXPECT_THAT(misuse({"mount", "a:/b", "/m", "-o"}), HasSubstr("-o needs options"));
    EXPECT_THAT(misuse({"mount", "a:/b", "/m", "--ready-fd", "x"}), HasSubstr("ready-fd"));
    EXPECT_THAT(misuse({"mount", "a:/b", "/m", "--ready-fd", "-1"}), HasSubstr("ready-fd"));
    EXPECT_EQ(
        misuse({"mount", "a:/b", "/m", "--end-with", "x"}),
        "uidnfs mount: --end-with: x: use a whole number from 1 to 2147483647; see uidnfs mount "
        "--help"
    );
    EXPECT_THAT(
        misuse({"mount", "a:/b", "/m", "--worker-memory", "256M"}),
        HasSubstr("256M: use a whole number from 67108864 to 1099511627776;")
    );
    EXPECT_THAT(
        misuse({"mount", "a:/b", "/m", "--worker-user"}),
        HasSubstr("--worker-user takes one value;")
    );
    EXPECT_THAT(misuse({"mount", "a:/b", "/m", "-q"}), HasSubstr("-q"));
    EXPECT_THAT(misuse({"mount"}), HasSubstr("see uidnfs mount --help"));
}

TEST(UmountLine, ChoosesHowToEnd) {
    using How = UmountArguments::How;
    EXPECT_EQ(parsed<UmountArguments>({"umount", "/mnt"}).how, How::orderly);
    EXPECT_EQ(parsed<UmountArguments>({"umount", "/mnt", "--lazy"}).how, How::lazy);
    EXPECT_EQ(parsed<UmountArguments>({"umount", "--force", "/mnt"}).how, How::force);
    EXPECT_THAT(misuse({"umount", "/mnt", "--lazy", "--force"}), HasSubstr("excludes"));
}

TEST(UmountLine, TakesADeadlineInSeconds) {
    const auto umount = parsed<UmountArguments>({"umount", "/mnt", "--flush-deadline", "0"});
    EXPECT_EQ(umount.flush_deadline_seconds, 0u);
    EXPECT_EQ(parsed<UmountArguments>({"umount", "/mnt"}).flush_deadline_seconds, std::nullopt);
    for (const auto* wrong : {"-1", "x", "86401", "1.5"}) {
        EXPECT_THAT(misuse({"umount", "/mnt", "--flush-deadline", wrong}), HasSubstr("deadline"))
            << wrong;
    }
    EXPECT_THAT(misuse({"umount"}), HasSubstr("MOUNTPOINT"));
}

TEST(CommandLine, Recover) {
    const auto plain = parsed<RecoverArguments>({"recover", "file"});
    EXPECT_EQ(plain.file, "file");
    EXPECT_EQ(plain.to, "");
    EXPECT_EQ(plain.action, RecoverArguments::Action::write);
    EXPECT_EQ(plain.conflicts, RecoverArguments::Conflicts::refused);
    const auto forced = parsed<RecoverArguments>({"recover", "--force", "file", "--to", "/mnt"});
    EXPECT_EQ(forced.to, "/mnt");
    EXPECT_EQ(forced.conflicts, RecoverArguments::Conflicts::overwritten);
    const auto listed = parsed<RecoverArguments>({"recover", "file", "--list"});
    EXPECT_EQ(listed.action, RecoverArguments::Action::list);
    EXPECT_THAT(misuse({"recover"}), HasSubstr("FILE"));
    EXPECT_THAT(misuse({"recover", "file", "--list", "--force"}), HasSubstr("excludes"));
    EXPECT_THAT(misuse({"recover", "file", "--list", "--to", "/mnt"}), HasSubstr("excludes"));
}

TEST(CommandLine, UpgradeIsForOneMountOrAll) {
    const auto one = parsed<UpgradeArguments>({"upgrade", "/mnt"});
    EXPECT_EQ(one.mountpoint, "/mnt");
    EXPECT_EQ(one.flush_deadline_seconds, std::nullopt);
    const auto all = parsed<UpgradeArguments>({"upgrade", "--all", "--flush-deadline", "3"});
    EXPECT_EQ(all.mountpoint, std::nullopt);
    EXPECT_EQ(all.flush_deadline_seconds, 3u);
    EXPECT_THAT(misuse({"upgrade"}), HasSubstr("--all"));
    EXPECT_THAT(misuse({"upgrade", "/mnt", "--all"}), HasSubstr("excludes"));
}

TEST(StatusLine, IsForOneMountOrAll) {
    EXPECT_EQ(parsed<StatusArguments>({"status"}).mountpoint, std::nullopt);
    const auto status = parsed<StatusArguments>({"status", "--json", "/mnt"});
    EXPECT_EQ(status.mountpoint, "/mnt");
    EXPECT_EQ(status.format, StatusArguments::Format::json);
    EXPECT_THAT(misuse({"status", "--xml"}), HasSubstr("--xml"));
}

TEST(Help, IsThereForEveryCommand) {
    EXPECT_THAT(shown({"--help"}), HasSubstr("uidnfs status"));
    EXPECT_THAT(shown({"mount", "--help"}), HasSubstr("app_uid="));
    EXPECT_THAT(shown({"mount", "a:/b", "--uid=x", "--help"}), HasSubstr("usage: uidnfs mount"));
    EXPECT_THAT(shown({"umount", "--help"}), HasSubstr("--lazy"));
    EXPECT_THAT(shown({"status", "-h"}), HasSubstr("--json"));
    EXPECT_EQ(shown({"--version"}), "uidnfs " UIDNFS_VERSION "\n");
}

TEST(Help, FitsATerminal) {
    for (const auto* command : {"mount", "umount", "status"}) {
        const auto text = shown({command, "--help"});
        std::size_t begin = 0;
        while (begin < text.size()) {
            const auto end = text.find('\n', begin);
            EXPECT_LE(end - begin, 100u) << text.substr(begin, end - begin);
            begin = end + 1;
        }
    }
}

TEST(CheckCommand, TakesTheOptionsOfMount) {
    const auto command =
        parse_command_line({"check", "nas1:/a", "-ouid=1", "--gid", "2", "--write"});
    const auto* check = std::get_if<CheckArguments>(&command);
    ASSERT_TRUE(check);
    EXPECT_EQ(check->source, "nas1:/a");
    ASSERT_EQ(check->options.size(), 2u);
    EXPECT_EQ(check->options[1].value, "2");
    EXPECT_EQ(check->write, CheckArguments::Write::yes);
    EXPECT_EQ(check->format, CheckArguments::Format::human);
}

TEST(Commands, AreNamedWhenOneIsUnknownOrMissing) {
    EXPECT_THAT(misuse({}), HasSubstr("mount, umount, status"));
    EXPECT_THAT(misuse({"frob"}), HasSubstr("unknown command frob"));
    EXPECT_THAT(misuse({"a\nb"}), HasSubstr("a\\x0ab"));
}

TEST(Commands, HaveRolesForTheProgramItself) {
    EXPECT_TRUE(std::holds_alternative<KeeperRole>(parse_command_line({"keeper", "a:/b", "/m"})));
    EXPECT_TRUE(std::holds_alternative<WorkerRole>(parse_command_line({"worker", "a:/b", "/m"})));
}

}  // namespace
}  // namespace uidnfs::app
