// SPDX-License-Identifier: Apache-2.0
// The commands of docs/man/uidnfs.8.md and of config/completions/uidnfs against what the program
// says of itself; its options are compared in tests/unit.
#include "app/command_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

namespace uidnfs::app {
namespace {

std::string read(const char* path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string page() { return read(UIDNFS_MAN_PAGE); }

/// Text of "### NAME" up to the next heading.
std::string section(const std::string& name) {
    const auto text = page();
    const auto begin = text.find("\n### " + name + "\n");
    if (begin == std::string::npos) return {};
    return text.substr(begin, text.find("\n##", begin + 5) - begin);
}

std::string help(const std::vector<std::string>& words) {
    const auto command = parse_command_line(words);
    const auto* text = std::get_if<ShowText>(&command);
    return text ? text->text : "";
}

std::set<std::string> found(const std::string& text, const char* pattern) {
    const std::regex expression(pattern);
    std::set<std::string> words;
    for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at) {
        words.insert((*at)[1]);
    }
    return words;
}

std::set<std::string> commands() { return found(help({"--help"}), "\n  uidnfs ([a-z]+) "); }

/// Of mount's help only what stands before the options of the table.
std::set<std::string> flags_of(const std::string& command) {
    const auto text = help({command, "--help"});
    return found(text.substr(0, text.find("\nIdentity")), "\n  (--[a-z-]+)");
}

TEST(ManPage, HasEveryCommand) {
    EXPECT_THAT(commands(), testing::Contains("check"));
    EXPECT_EQ(found(page(), "\n    uidnfs ([a-z]+) [A-Z\\[]"), commands());
    for (const auto& command : commands()) EXPECT_NE(section(command), "") << command;
}

TEST(ManPage, HasExactlyTheFlagsOfEachCommand) {
    for (const auto& command : commands()) {
        EXPECT_EQ(found(section(command), "\\*\\*(--[a-z-]+)\\*\\*"), flags_of(command)) << command;
    }
}

TEST(Completion, HasEveryCommandWithItsFlags) {
    const auto script = read(UIDNFS_COMPLETION);
    std::set<std::string> completed;
    const std::regex line("\n +([a-z]+)\\) flags=\"([^\"]*)\"");
    for (std::sregex_iterator at(script.begin(), script.end(), line), end; at != end; ++at) {
        const auto command = (*at)[1].str();
        completed.insert(command);
        EXPECT_EQ(found((*at)[2], "(--[a-z-]+)"), flags_of(command)) << command;
    }
    EXPECT_EQ(completed, commands());
    std::smatch offered;
    ASSERT_TRUE(std::regex_search(script, offered, std::regex("-W \"([a-z ]+) --help")));
    EXPECT_EQ(found(offered[1], "([a-z]+)"), commands());
}

}  // namespace
}  // namespace uidnfs::app
