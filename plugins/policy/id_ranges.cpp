// SPDX-License-Identifier: Apache-2.0
#include "plugins/policy/id_ranges.hpp"

#include "mapper/ids.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

namespace uidnfs::plugins::policy {
namespace {

constexpr std::string_view kUse = "use ids from 1 to 4294967294, as \"1000-1999\" or \"1000\"";

std::optional<std::uint32_t> parse_id(std::string_view text) {
    std::uint32_t id = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (status != std::errc{} || end != text.data() + text.size() || id == mapper::kNoId) {
        return std::nullopt;
    }
    if (text.size() > 1 && text.front() == '0') return std::nullopt;  // elsewhere it means octal
    return id;
}

core::Failure refuse(std::string_view why) { return {EINVAL, fmt::format("{}; {}", why, kUse)}; }

}  // namespace

std::string IdRange::text() const {
    return first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
}

core::Outcome<IdRange> parse_range(std::string_view text) {
    const auto dash = text.find('-');
    const auto first = parse_id(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_id(text.substr(dash + 1));
    if (!first || !last) return refuse("not a range of ids");
    if (*first > *last) return refuse("the range is empty: its end is below its beginning");
    if (*first == 0 && *last != 0) return refuse("the range includes 0, which is root");
    return IdRange{*first, *last};
}

std::pair<std::size_t, std::size_t> find_overlap(const std::vector<IdRange>& ranges) {
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        for (std::size_t j = i + 1; j < ranges.size(); ++j) {
            if (ranges[i].first <= ranges[j].last && ranges[j].first <= ranges[i].last) {
                return {i, j};
            }
        }
    }
    return {ranges.size(), ranges.size()};
}

bool holds(const std::vector<IdRange>& ranges, std::uint32_t id) noexcept {
    return std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) {
        return range.holds(id);
    });
}

std::string to_text(const std::vector<IdRange>& ranges) {
    std::string out;
    for (const auto& range : ranges) {
        out += fmt::format("{}{}", out.empty() ? "" : ", ", range.text());
    }
    return out;
}

}  // namespace uidnfs::plugins::policy
