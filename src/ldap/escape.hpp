// SPDX-License-Identifier: Apache-2.0
// User names and DNs inside filters and DNs: whatever they hold, they stay one value. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::ldap {

/// RFC 4515 section 3: `*`, `(`, `)`, `\`, NUL and every byte that is not printable ASCII as \xx.
std::string escape_filter(std::string_view value);

/// RFC 4514 section 2.4, as the value of an attribute in a DN: specials and every byte that is not
/// printable ASCII as \xx.
std::string escape_dn(std::string_view value);

/// `{username}` and `{dn}` replaced, escaped for a filter. Replacements are not looked at again.
std::string expand_filter(std::string_view text, std::string_view user, std::string_view dn);

/// `{username}` replaced, escaped for a DN.
std::string expand_base(std::string_view text, std::string_view user);

/// The attributes that a filter compares with the whole user name: "uid" of "(uid={username})".
std::vector<std::string> login_attributes(std::string_view filter);

/// The same name to most matching rules of directories, as far as it is ASCII: whatever its case,
/// and its spaces at both ends and beside each other (RFC 4518 section 2.6.1).
bool is_same_login(std::string_view a, std::string_view b);

/// "{username}" or "{dn}" occurs in `text`.
enum class Placeholder { username, dn };
bool mentions(std::string_view text, Placeholder placeholder);

}  // namespace uidnfs::ldap
