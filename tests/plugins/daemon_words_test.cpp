// SPDX-License-Identifier: Apache-2.0
// docs/man/uidnfsd.8.md and config/completions/uidnfsd against what uidnfsd says of itself.
#include "plugins/daemon/command_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

namespace uidnfs::plugins {
namespace {

using Words = std::set<std::string>;

std::string read(const char* path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string help(const std::vector<std::string>& words) {
    const auto command = parse_command_line(words);
    const auto* text = std::get_if<ShowText>(&command);
    return text ? text->text : "";
}

Words found(const std::string& text, const char* pattern) {
    const std::regex expression(pattern);
    Words words;
    for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at) {
        words.insert((*at)[1]);
    }
    return words;
}

/// "uidnfsd resolve USERNAME --config FILE [--json]" and the like.
Words usages(const std::string& text) {
    return found(
        text, "\n +(uidnfsd (?:[a-z-]+ [A-Z]+ )?--config FILE[^\n]*?)(?:   [^\n]*)?(?=\n)"
    );
}

Words commands() { return found(help({"--help"}), "\n  uidnfsd ([a-z]+[a-z-]*) "); }

TEST(DaemonManPage, HasEveryWayToCallIt) {
    EXPECT_THAT(usages(help({"--help"})), testing::SizeIs(4));
    EXPECT_EQ(usages(help({"--help"})), usages(read(UIDNFSD_MAN_PAGE)));
    for (const auto& usage : usages(help({"--help"}))) {
        EXPECT_THAT(read(UIDNFSD_MAN_PAGE), testing::HasSubstr("\n### " + usage + "\n"));
    }
}

TEST(DaemonCompletion, HasEveryCommandWithItsFlags) {
    const auto script = read(UIDNFSD_COMPLETION);
    std::smatch offered;
    ASSERT_TRUE(std::regex_search(script, offered, std::regex("commands=\"([a-z -]+)\"")));
    EXPECT_EQ(found(offered[1], "([a-z-]+)"), commands());
    for (const auto& command : commands()) {
        std::smatch line;
        ASSERT_TRUE(
            std::regex_search(script, line, std::regex("\n +" + command + "\\) flags=\"([^\"]*)\""))
        ) << command;
        const auto usage = help({command, "--help"});
        EXPECT_EQ(
            found(line[1], "(--[a-z-]+)"), found(usage.substr(0, usage.find('\n')), "(--[a-z-]+)")
        ) << command;
    }
    EXPECT_THAT(script, testing::HasSubstr("--*) flags=\"--config --check\""));
    EXPECT_THAT(script, testing::HasSubstr("$commands --config --help-config --help --version"));
}

}  // namespace
}  // namespace uidnfs::plugins
