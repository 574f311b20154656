// SPDX-License-Identifier: Apache-2.0
// Help made from the table: complete, aligned, not too wide.
#include "config/help.hpp"
#include "config/option_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace uidnfs::config {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

TEST(HelpTest, NamesEveryOptionThatCanBeUsed) {
    const auto help = render_option_help();
    for (const auto name : option_names()) {
        EXPECT_TRUE(
            testing::Matches(testing::ContainsRegex("(^|[ \n])" + std::string(name) + "[=, \n]")
            )(help)
        ) << name;
    }
}

TEST(HelpTest, DoesNotAdvertiseWhatIsRefused) {
    const auto help = render_option_help();
    for (const auto* name : {"suid", "dev", "udp", "lock", "password", "readonly"}) {
        EXPECT_THAT(
            help, Not(testing::ContainsRegex("\n  (.*, )?" + std::string(name) + "[,= \n]"))
        );
    }
}

TEST(HelpTest, LinesFitTheWidth) {
    for (const std::size_t columns : {60u, 80u, 96u, 100u}) {
        std::istringstream help(render_option_help(columns));
        for (std::string line; std::getline(help, line);) {
            EXPECT_LE(line.size(), columns) << line;
            EXPECT_FALSE(line.ends_with(' ')) << line;
        }
    }
}

TEST(HelpTest, HelpStandsInItsColumn) {
    std::istringstream help(render_option_help());
    for (std::string line; std::getline(help, line);) {
        if (line.empty() || line.front() != ' ') continue;
        EXPECT_THAT(line, MatchesRegex("(  [^ ].*|                              [^ ].*)"));
    }
    EXPECT_THAT(
        render_option_help(), HasSubstr("\n  ro                          read-only, on the mount")
    );
}

TEST(HelpTest, SaysDefaultsAndWhatIsMissing) {
    const auto help = render_option_help(1000);
    EXPECT_THAT(help, testing::ContainsRegex("\n  uid=N .*\\(required\\)\n"));
    EXPECT_THAT(help, testing::ContainsRegex("\n  app_uid=N .*\\(default: 2000\\)\n"));
    EXPECT_THAT(help, testing::ContainsRegex("\n  hard .*\\(default\\)\n"));
    for (const auto& option : option_table()) {
        if (option.availability.state == Availability::State::later) {
            EXPECT_THAT(help, HasSubstr("not available yet]"));
        }
    }
}

TEST(HelpTest, NarrowestWidthIs60) { EXPECT_EQ(render_option_help(60), render_option_help(1)); }

}  // namespace
}  // namespace uidnfs::config
