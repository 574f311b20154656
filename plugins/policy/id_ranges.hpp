// SPDX-License-Identifier: Apache-2.0
// IdRanges: the ids that a rule allows. Pure; any thread.
#pragma once

#include "core/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace uidnfs::plugins::policy {

/// `first` to `last`, both included; first <= last <= 4294967294.
struct IdRange {
    std::uint32_t first = 0;
    std::uint32_t last = 0;

    bool holds(std::uint32_t id) const noexcept { return first <= id && id <= last; }
    std::string text() const;  ///< "1000-1999", "1000"
    friend bool operator==(const IdRange&, const IdRange&) noexcept = default;
};

/// "1000-1999" or "1000", decimal. EINVAL with "why not; what to do": not a number, the first above
/// the last, a range of several that includes 0 (root stands alone or not at all).
core::Outcome<IdRange> parse_range(std::string_view text);

/// Two of `ranges` that share ids, as positions in the list; (size, size) when none do.
std::pair<std::size_t, std::size_t> find_overlap(const std::vector<IdRange>& ranges);

bool holds(const std::vector<IdRange>& ranges, std::uint32_t id) noexcept;

/// "1000-1999, 5000"
std::string to_text(const std::vector<IdRange>& ranges);

}  // namespace uidnfs::plugins::policy
