// SPDX-License-Identifier: Apache-2.0
#include "plugins/settings/problem.hpp"

#include "core/log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <tuple>

namespace uidnfs::plugins {

std::string to_text(const Problem& problem) {
    auto out = problem.file;
    if (problem.line != 0) out += fmt::format(":{}", problem.line);
    if (!problem.key.empty()) out += fmt::format(": {}", problem.key);
    if (!problem.found.empty()) out += fmt::format(": found {}", problem.found);
    if (!problem.allowed.empty()) {
        out += fmt::format("{} {}", problem.found.empty() ? ":" : ";", problem.allowed);
    }
    return core::log::printable(out);
}

void sort(std::vector<Problem>& problems) {
    const auto place = [](const Problem& problem) {
        const auto line =
            problem.line == 0 ? std::numeric_limits<std::uint32_t>::max() : problem.line;
        return std::make_tuple(problem.file == "environment", line);
    };
    std::stable_sort(problems.begin(), problems.end(), [&](const auto& a, const auto& b) {
        return place(a) < place(b);
    });
}

}  // namespace uidnfs::plugins
