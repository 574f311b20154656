// SPDX-License-Identifier: Apache-2.0
#include "core/text.hpp"

#include "core/fd.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <system_error>

namespace uidnfs::core {

Result<std::string> read_whole(const std::string& path) {
    constexpr std::size_t kLimit = std::size_t{16} << 20;
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return Error(errno);
    std::string text;
    std::array<char, 16384> block;
    for (;;) {
        const auto size = ::read(file.get(), block.data(), block.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return Error(errno);
        if (size == 0) return text;
        if (text.size() + static_cast<std::size_t>(size) > kLimit) return Error(EFBIG);
        text.append(block.data(), static_cast<std::size_t>(size));
    }
}

std::size_t utf8_sequence(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < size) return 0;
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return 0;
    }
    // Overlong forms, surrogates, and what is above U+10FFFF.
    if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f)) return 0;
    if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) return 0;
    return size;
}

bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const auto size = utf8_sequence(text);
        if (size == 0) return false;
        text.remove_prefix(size);
    }
    return true;
}

std::string with_valid_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const auto size = utf8_sequence(text);
        out += size == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, size);
        text.remove_prefix(std::max<std::size_t>(size, 1));
    }
    return out;
}

std::string describe_errno(int code) { return std::generic_category().message(code); }

std::vector<std::string_view> lines_of(std::string_view text, std::size_t most) {
    std::vector<std::string_view> lines;
    while (!text.empty() && lines.size() < most) {
        const auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (!line.empty()) lines.push_back(line);
    }
    return lines;
}

std::string utc_time(std::chrono::system_clock::time_point when, Precision precision) {
    const auto since = std::chrono::floor<std::chrono::milliseconds>(when.time_since_epoch());
    const auto whole = std::chrono::floor<std::chrono::seconds>(since);
    const auto text =
        fmt::format("{:%Y-%m-%dT%H:%M:%S}", fmt::gmtime(static_cast<std::time_t>(whole.count())));
    if (precision == Precision::seconds) return text + "Z";
    return fmt::format("{}.{:03}Z", text, (since - whole).count());
}

std::string human_bytes(std::uint64_t bytes) {
    static constexpr std::array kUnits{"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) return fmt::format("{} bytes", bytes);
    auto value = static_cast<double>(bytes) / 1024;
    std::size_t unit = 0;
    for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
    return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace uidnfs::core
