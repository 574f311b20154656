// SPDX-License-Identifier: Apache-2.0
// Entry: what a server returned for one DN. Plain data; attribute names compare without case and
// without options (RFC 4512 section 2.5).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace uidnfs::ldap {

struct Entry {
    struct Attribute {
        std::string name;
        std::vector<std::string> values;
    };
    std::string dn;
    std::vector<Attribute> attributes = {};

    /// The values of an attribute; empty when the entry does not have it.
    const std::vector<std::string>& values(std::string_view name) const;
    /// The first value, or nothing at all as "".
    std::string_view value(std::string_view name) const;
    /// The server gave only a part ("memberOf;range=0-1499", Active Directory).
    bool is_partial(std::string_view name) const;
};

/// `user` as its entry spells it in one of the attributes `logins`, for uid matches in any case and
/// memberUid (RFC 2307) in one; `user` itself where one of them has it so, or none has it.
std::string login_in(
    const Entry& entry, const std::vector<std::string>& logins, const std::string& user
);

/// Why a text is no id that uidnfs may act as.
enum class NoId : std::uint8_t { missing, several, not_a_number, too_large, reserved };
std::string_view to_string(NoId why) noexcept;

/// A uid or gid: decimal digits only, 0 to 4294967294. (4294967295 is "no change" to chown(2).)
std::variant<std::uint32_t, NoId> parse_id(std::string_view text);
std::variant<std::uint32_t, NoId> parse_id(const std::vector<std::string>& values);

/// What a search brought.
struct SearchAnswer {
    int code = 0;  ///< RFC 4511 resultCode, or negative where libldap has no answer
    std::string text = {};
    std::vector<Entry> entries = {};
};

}  // namespace uidnfs::ldap
