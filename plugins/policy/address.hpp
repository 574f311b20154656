// SPDX-License-Identifier: Apache-2.0
// Address: an IPv4 or IPv6 address as 16 bytes of fixed size (it travels in the mounter's
// messages), and the kinds of address that a rule must name. Pure; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace uidnfs::plugins::policy {

/// IPv4 is held as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2), so that both spellings of one
/// address are equal. Zones ("%eth0") are not part of it.
struct Address {
    std::array<std::uint8_t, 16> bytes{};

    bool is_v4() const noexcept;
    /// What the kernel would take to this machine: 127.0.0.0/8, ::1, and the unspecified addresses
    /// (0.0.0.0/8, ::), which connect(2) takes for it.
    bool is_loopback() const noexcept;
    bool is_link_local() const noexcept;  ///< 169.254.0.0/16 (RFC 3927), fe80::/10 (RFC 4291)
    /// "192.0.2.1" (also for ::ffff:192.0.2.1), "2001:db8::1" (RFC 5952).
    std::string text() const;

    friend bool operator==(const Address&, const Address&) noexcept = default;
};

/// Dotted quad or IPv6 without brackets, as inet_pton(3) takes them; a zone is cut off.
std::optional<Address> parse_address(std::string_view text);

}  // namespace uidnfs::plugins::policy
