// SPDX-License-Identifier: Apache-2.0
// docs/man/uidnfsd.toml.5.md against the table of keys, both ways, and config/uidnfsd.toml: every
// key is there, as itself or as a comment, and all of it can be used.
#include "plugins/settings/key_table.hpp"
#include "settings_fixture.hpp"

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

namespace uidnfs::plugins {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Entry {
    std::string section;
    std::string spelling;  ///< "deadline_seconds = SECONDS"
    std::string text;
};

/// An entry is a line of one code span and, below it, a line that begins with a colon.
std::vector<Entry> read_entries() {
    std::ifstream file(UIDNFSD_TOML_MAN_PAGE);
    EXPECT_TRUE(file) << UIDNFSD_TOML_MAN_PAGE;
    std::vector<Entry> entries;
    std::string section;
    std::string before;
    bool in_text = false;
    for (std::string line; std::getline(file, line); before = line) {
        if (line.starts_with("### `[")) {
            const auto begin = line.find_first_not_of("#` [");
            section = line.substr(begin, line.find_first_of("]`", begin) - begin);
        } else if (line.starts_with("## ")) {
            section.clear();
        }
        if (section.empty()) continue;
        if (line.starts_with(":   ")) {
            const auto begin = before.find('`');
            const auto end = before.rfind('`');
            entries.push_back({section, before.substr(begin + 1, end - begin - 1), line.substr(4)});
            in_text = true;
        } else if (in_text && line.starts_with("    ")) {
            entries.back().text += " " + line.substr(4);
        } else {
            in_text = false;
        }
    }
    return entries;
}

std::string name_of(const Entry& entry) {
    return entry.section + "." + entry.spelling.substr(0, entry.spelling.find(' '));
}

std::string name_of(const KeySpec& key) {
    return std::string(key.section) + "." + std::string(key.name);
}

TEST(SettingsManPage, NamesExactlyTheKeysOfTheTable) {
    std::vector<std::string> in_page;
    for (const auto& entry : read_entries()) in_page.push_back(name_of(entry));
    std::vector<std::string> in_table;
    for (const auto& key : key_table()) in_table.push_back(name_of(key));
    EXPECT_THAT(in_page, testing::UnorderedElementsAreArray(in_table));
}

TEST(SettingsManPage, SaysWhatTheTableSays) {
    std::map<std::string, Entry> entries;
    for (auto& entry : read_entries()) entries[name_of(entry)] = entry;
    for (const auto& key : key_table()) {
        const auto& entry = entries[name_of(key)];
        EXPECT_EQ(synopsis(key), entry.spelling);
        auto help = std::string(key.help);
        help.front() = static_cast<char>(std::toupper(help.front()));
        EXPECT_TRUE(entry.text.starts_with(help)) << name_of(key) << ": " << entry.text;
        EXPECT_TRUE(entry.text.ends_with(" Default: " + default_text(key) + "."))
            << name_of(key) << ": " << entry.text;
        if (key.kind == KeyKind::number || key.kind == KeyKind::size) {
            const bool is_size = key.kind == KeyKind::size;
            const auto range =
                is_size ? config::show_size(key.min) + " to " + config::show_size(key.max)
                        : std::to_string(key.min) + " to " + std::to_string(key.max);
            EXPECT_THAT(entry.text, HasSubstr(range)) << name_of(key);
        }
    }
}

TEST(SettingsManPage, HasEverySection) {
    std::ifstream file(UIDNFSD_TOML_MAN_PAGE);
    const std::string page((std::istreambuf_iterator<char>(file)), {});
    for (const auto& section : section_table()) {
        if (section.help.empty()) continue;
        const bool is_many = section.times == SectionSpec::Times::many;
        const auto name = std::string(section.name);
        EXPECT_THAT(page, HasSubstr(is_many ? "### `[[" + name + "]]`" : "### `[" + name + "]`"));
    }
}

TEST(ManPages, NoLineOfAParagraphBeginsAList) {
    // "600. Default: 7." at the begin of a line is item 600 to lowdown.
    const std::regex item(R"(^\s*(\d+[.)]|[-+*]) .*)");
    const auto pages = std::filesystem::path(UIDNFSD_TOML_MAN_PAGE).parent_path();
    for (const auto& page : std::filesystem::directory_iterator(pages)) {
        std::ifstream file(page.path());
        for (std::string line; std::getline(file, line);) {
            EXPECT_FALSE(std::regex_match(line, item)) << page.path() << ": " << line;
        }
    }
}

/// Certificates that this machine may not have are replaced by ones that it has.
std::string read_example(const std::filesystem::path& path) {
    std::ifstream file(path);
    EXPECT_TRUE(file) << path;
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const auto certificates = testing::TempDir() + "uidnfsd-example.pem";
    std::ofstream(certificates) << "-----BEGIN CERTIFICATE-----\n";
    return std::regex_replace(
        text, std::regex("(ca_file = )\"/etc/[^\"]*\""), "$1\"" + certificates + "\""
    );
}

std::string example() { return read_example(UIDNFSD_TOML); }

TEST(SettingsExample, CanBeUsedAsItIs) {
    const auto draft = checked(example());
    EXPECT_THAT(texts(draft.problems), ElementsAre());
    EXPECT_TRUE(draft.settings.docker);
    EXPECT_FALSE(draft.settings.policy.rules.empty());
}

/// "#key = value" and "#[section]" are settings that are turned off; "# text" is text.
std::string uncommented(const std::string& text) {
    std::istringstream lines(text);
    std::string out;
    for (std::string line; std::getline(lines, line);) {
        const bool is_off = line.size() > 1 && line[0] == '#' && line[1] != ' ' && line[1] != '#';
        out += (is_off ? line.substr(1) : line) + "\n";
    }
    return out;
}

TEST(SettingsExample, CanBeUsedWithEverythingTurnedOn) {
    const auto draft = checked(uncommented(example()));
    EXPECT_THAT(texts(draft.problems), ElementsAre());
    EXPECT_TRUE(draft.settings.ldap);
    EXPECT_TRUE(draft.settings.cloudfoundry);
}

TEST(SettingsExample, HasEveryKey) {
    const auto draft = checked(uncommented(example()));
    for (const auto& key : key_table()) {
        const auto section =
            key.section == "policy.rule" ? std::string("policy.rule[1]") : std::string(key.section);
        EXPECT_TRUE(draft.has(section + "." + std::string(key.name))) << name_of(key);
    }
}

TEST(SettingsExample, EverySchemaCanBeUsed) {
    const auto directory = std::filesystem::path(UIDNFSD_TOML).parent_path() / "ldap";
    int seen = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const auto draft = checked(read_example(entry.path()));
        EXPECT_THAT(texts(draft.problems), ElementsAre()) << entry.path();
        EXPECT_TRUE(draft.settings.ldap) << entry.path();
        EXPECT_EQ(policy::RequiredIdentity::ldap, draft.settings.policy.identity) << entry.path();
        ++seen;
    }
    EXPECT_EQ(5, seen);
}

}  // namespace
}  // namespace uidnfs::plugins
