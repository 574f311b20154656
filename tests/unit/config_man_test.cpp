// SPDX-License-Identifier: Apache-2.0
// docs/man/uidnfs.8.md against the option table, both ways: names, defaults, who may set them.
#include "config/option_table.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

namespace uidnfs::config {
namespace {

/// A line of code spans and the text below it.
struct Entry {
    std::vector<std::string> spellings;  ///< "uid=N"
    std::string text;
};

std::vector<std::string> code_spans(std::string_view line) {
    std::vector<std::string> spans;
    for (std::size_t begin = line.find('`'); begin != std::string_view::npos;) {
        const auto end = line.find('`', begin + 1);
        if (end == std::string_view::npos) break;
        spans.emplace_back(line.substr(begin + 1, end - begin - 1));
        begin = line.find('`', end + 1);
    }
    return spans;
}

/// The entries of the section OPTIONS.
std::vector<Entry> read_entries() {
    std::ifstream file(UIDNFS_MAN_PAGE);
    EXPECT_TRUE(file) << UIDNFS_MAN_PAGE;
    std::vector<Entry> entries;
    std::string before;
    bool in_options = false;
    bool in_text = false;
    for (std::string line; std::getline(file, line); before = line) {
        if (line.starts_with("## ")) in_options = line == "## OPTIONS";
        if (!in_options) continue;
        if (line.starts_with(":   ")) {
            entries.push_back({code_spans(before), line.substr(4)});
            in_text = true;
        } else if (in_text && line.starts_with("    ")) {
            entries.back().text += " " + line.substr(4);
        } else {
            in_text = false;
        }
    }
    return entries;
}

std::string name_of(const std::string& spelling) { return spelling.substr(0, spelling.find('=')); }

/// "600" of "... Default: 600. **P**"; empty when the text names none.
std::string default_in(const std::string& text) {
    constexpr std::string_view kWord = "Default: ";
    const auto begin = text.rfind(kWord);
    if (begin == std::string::npos) return {};
    const auto end = std::min(text.find(". **P**", begin), text.rfind('.'));
    return text.substr(begin + kWord.size(), end - begin - kWord.size());
}

bool is_shown(const OptionSpec& option) {
    return option.availability.state != Availability::State::never;
}

class ManPageTest : public testing::Test {
protected:
    std::vector<Entry> entries = read_entries();
};

TEST_F(ManPageTest, HasEntries) { EXPECT_GT(entries.size(), 40u); }

TEST_F(ManPageTest, NamesExactlyTheOptionsOfTheTable) {
    std::vector<std::string> in_page;
    for (const auto& entry : entries) {
        for (const auto& spelling : entry.spellings) in_page.push_back(name_of(spelling));
    }
    std::vector<std::string> in_table;
    for (const auto& option : option_table()) {
        if (!is_shown(option)) continue;
        in_table.emplace_back(option.name);
        in_table.insert(in_table.end(), option.aliases.begin(), option.aliases.end());
    }
    EXPECT_THAT(in_page, testing::UnorderedElementsAreArray(in_table));
}

TEST_F(ManPageTest, WritesThemAsTheTableDoes) {
    for (const auto& entry : entries) {
        for (const auto& spelling : entry.spellings) {
            const auto name = name_of(spelling);
            const auto* option = find_option(name);
            ASSERT_NE(nullptr, option) << spelling;
            EXPECT_EQ(synopsis(*option, name), spelling);
        }
    }
}

TEST_F(ManPageTest, SaysTheirDefaults) {
    for (const auto& entry : entries) {
        std::vector<std::string> defaults;
        for (const auto& spelling : entry.spellings) {
            const auto* option = find_option(name_of(spelling));
            if (!option || option->name != name_of(spelling)) continue;  // an alias
            if (auto text = default_text(*option); !text.empty()) defaults.push_back(text);
        }
        defaults.erase(
            std::unique(
                defaults.begin(),
                defaults.end(),
                [](const auto& a, const auto& b) { return a == b && a == "required"; }
            ),
            defaults.end()
        );
        EXPECT_EQ(fmt::format("{}", fmt::join(defaults, ", ")), default_in(entry.text))
            << entry.spellings.front();
    }
}

TEST_F(ManPageTest, SaysWhatACallerMaySet) {
    for (const auto& entry : entries) {
        for (const auto& spelling : entry.spellings) {
            const auto* option = find_option(name_of(spelling));
            ASSERT_NE(nullptr, option) << spelling;
            EXPECT_EQ(option->set_by == SetBy::callers, entry.text.ends_with(" **P**")) << spelling;
        }
    }
}

TEST_F(ManPageTest, SaysWhatIsNotAvailableYet) {
    for (const auto& option : option_table()) {
        const auto entry = std::find_if(entries.begin(), entries.end(), [&](const Entry& each) {
            return std::any_of(each.spellings.begin(), each.spellings.end(), [&](const auto& word) {
                return name_of(word) == option.name;
            });
        });
        if (entry == entries.end()) continue;
        // Neighbours share an entry (bg, fg): one that is missing is reason enough to say so.
        const bool is_later =
            std::any_of(entry->spellings.begin(), entry->spellings.end(), [](const auto& word) {
                const auto* each = find_option(name_of(word));
                return each && each->availability.state == Availability::State::later;
            });
        const auto begin =
            std::min(entry->text.find("not available yet"), entry->text.find("Not available yet"));
        EXPECT_EQ(is_later, begin != std::string::npos) << option.name;
    }
}

TEST_F(ManPageTest, NamesWhatIsRefused) {
    std::ifstream file(UIDNFS_MAN_PAGE);
    const std::string page((std::istreambuf_iterator<char>(file)), {});
    for (const auto& option : option_table()) {
        if (is_shown(option)) continue;
        EXPECT_THAT(page, testing::HasSubstr(fmt::format("`{}`", option.name)));
    }
}

}  // namespace
}  // namespace uidnfs::config
