// SPDX-License-Identifier: Apache-2.0
// The options that config/completions/uidnfs offers are those of the option table.
#include "config/option_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

namespace uidnfs::config {
namespace {

using Words = std::set<std::string>;

Words offered() {
    std::ifstream file(UIDNFS_COMPLETION);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const std::string start = "local options=\"";
    const auto begin = text.find(start);
    if (begin == std::string::npos) return {};
    std::istringstream words(text.substr(
        begin + start.size(), text.find('"', begin + start.size()) - begin - start.size()
    ));
    return {std::istream_iterator<std::string>(words), {}};
}

Words known() {
    Words words;
    for (const auto& option : option_table()) {
        const auto& availability = option.availability;
        const bool is_refused =
            availability.state == Availability::State::never && availability.value.empty();
        if (is_refused || option.name.ends_with('*')) continue;
        words.insert(synopsis(option, option.name));
        for (const auto alias : option.aliases) {
            if (!alias.ends_with('*')) words.insert(synopsis(option, alias));
        }
    }
    return words;
}

/// Those of `words` that are not in `others`.
Words without(const Words& words, const Words& others) {
    Words rest;
    std::set_difference(
        words.begin(), words.end(), others.begin(), others.end(), std::inserter(rest, rest.end())
    );
    return rest;
}

TEST(Completion, OffersExactlyTheOptionsOfTheTable) {
    EXPECT_THAT(without(known(), offered()), testing::IsEmpty());
    EXPECT_THAT(without(offered(), known()), testing::IsEmpty());
}

}  // namespace
}  // namespace uidnfs::config
