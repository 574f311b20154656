// SPDX-License-Identifier: Apache-2.0
#include "plugins/policy/address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

namespace uidnfs::plugins::policy {
namespace {

constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::size_t kLongest = 64;  // INET6_ADDRSTRLEN and a zone

}  // namespace

bool Address::is_v4() const noexcept {
    return std::equal(kMapped.begin(), kMapped.end(), bytes.begin());
}

bool Address::is_loopback() const noexcept {
    if (is_v4()) return bytes[12] == 127 || bytes[12] == 0;
    const bool is_low = std::all_of(bytes.begin(), bytes.end() - 1, [](auto b) { return b == 0; });
    return is_low && bytes[15] <= 1;
}

bool Address::is_link_local() const noexcept {
    if (is_v4()) return bytes[12] == 169 && bytes[13] == 254;
    return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

std::string Address::text() const {
    std::array<char, INET6_ADDRSTRLEN> out{};
    if (is_v4()) {
        ::inet_ntop(AF_INET, bytes.data() + 12, out.data(), out.size());
    } else {
        ::inet_ntop(AF_INET6, bytes.data(), out.data(), out.size());
    }
    return out.data();
}

std::optional<Address> parse_address(std::string_view text) {
    if (text.size() > kLongest) return std::nullopt;
    const std::string copy(text.substr(0, text.find('%')));
    if (copy.find('\0') != std::string::npos) return std::nullopt;
    Address address;
    // A zone belongs to IPv6 alone, and ::ffff:192.0.2.1 is none.
    const bool has_zone = copy.size() != text.size();
    if (::inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) {
        if (has_zone && address.is_v4()) return std::nullopt;
        return address;
    }
    if (has_zone) return std::nullopt;
    std::copy(kMapped.begin(), kMapped.end(), address.bytes.begin());
    if (::inet_pton(AF_INET, copy.c_str(), address.bytes.data() + 12) == 1) return address;
    return std::nullopt;
}

}  // namespace uidnfs::plugins::policy
