// SPDX-License-Identifier: Apache-2.0
// User names and DNs inside filters and DNs: whatever they hold, they stay one value. Pure.
#pragma once

#include <string>
#include <string_view>

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

/// "{username}" or "{dn}" occurs in `text`.
enum class Placeholder { username, dn };
bool mentions(std::string_view text, Placeholder placeholder);

}  // namespace uidnfs::ldap
