// SPDX-License-Identifier: Apache-2.0
// The commands of docs/man/uidnfs.8.md against what the program says of itself; its options are
// compared in tests/unit.
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

std::string page() {
    std::ifstream file(UIDNFS_MAN_PAGE);
    return {std::istreambuf_iterator<char>(file), {}};
}

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

TEST(ManPage, HasEveryCommand) {
    EXPECT_THAT(commands(), testing::Contains("check"));
    EXPECT_EQ(found(page(), "\n    uidnfs ([a-z]+) [A-Z\\[]"), commands());
    for (const auto& command : commands()) EXPECT_NE(section(command), "") << command;
}

TEST(ManPage, HasExactlyTheFlagsOfEachCommand) {
    for (const auto& command : commands()) {
        // Of mount's help only what stands before the options of the table.
        auto text = help({command, "--help"});
        text = text.substr(0, text.find("\nIdentity"));
        EXPECT_EQ(
            found(section(command), "\\*\\*(--[a-z-]+)\\*\\*"), found(text, "\n  (--[a-z-]+)")
        ) << command;
    }
}

}  // namespace
}  // namespace uidnfs::app
