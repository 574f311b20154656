// SPDX-License-Identifier: Apache-2.0
#include "config/text.hpp"

#include "core/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace uidnfs::config {
namespace {

bool is_control(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
}

char folded(char c) noexcept {
    if (c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
    return c == '-' ? '_' : c;
}

}  // namespace

std::string shown(std::string_view text, std::size_t max_bytes) {
    std::string out;
    for (auto room = max_bytes; !text.empty();) {
        const auto size = core::utf8_sequence(text);
        const auto taken = std::max<std::size_t>(size, 1);
        if (taken > room) return out + "...";
        if (size == 0 || is_control(text.front())) {
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
        } else {
            out += text.substr(0, size);
        }
        text.remove_prefix(taken);
        room -= taken;
    }
    return out;
}

bool has_control_characters(std::string_view text) noexcept {
    return std::any_of(text.begin(), text.end(), is_control);
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    // Three rows of the usual matrix; the one before the last is for swapped neighbours.
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> last(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(last.begin(), last.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const auto is = folded(a[i - 1]);
            const auto want = folded(b[j - 1]);
            const std::size_t replace = last[j - 1] + (is == want ? 0 : 1);
            row[j] = std::min({row[j - 1] + 1, last[j] + 1, replace});
            if (i > 1 && j > 1 && is == folded(b[j - 2]) && folded(a[i - 2]) == want) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
        before.swap(last);
        last.swap(row);
    }
    return last[b.size()];
}

}  // namespace uidnfs::config
