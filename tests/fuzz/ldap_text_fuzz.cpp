// SPDX-License-Identifier: Apache-2.0
// A user name stays one value in filters and DNs, and comes back from its escapes unchanged.
// Input: a user name.
#include "fuzz/fuzz.hpp"
#include "ldap/entry.hpp"
#include "ldap/escape.hpp"
#include "ldap/server_url.hpp"

#include <algorithm>
#include <string>

namespace {

using uidnfs::fuzz::require;

int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// Undoes "\xx"; as RFC 4515 section 3 and RFC 4514 section 3 have it.
std::string unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            out += text[i];
            continue;
        }
        require(i + 1 < text.size(), "an escape is whole");
        if (i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
            out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
            i += 2;
        } else {
            out += text[++i];
        }
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace uidnfs::ldap;
    const auto name = uidnfs::fuzz::as_text(data, size);

    const auto in_filter = escape_filter(name);
    require(unescape(in_filter) == name, "a filter value can be read back");
    require(in_filter.find_first_of("*()") == std::string::npos, "no filter syntax in a value");
    require(in_filter.find('\0') == std::string::npos, "no NUL in a filter");

    const auto in_dn = escape_dn(name);
    require(unescape(in_dn) == name, "a DN value can be read back");
    require(in_dn.find('\0') == std::string::npos, "no NUL in a DN");
    require(!in_dn.starts_with('#') && !in_dn.starts_with(' '), "a DN value begins as text");
    require(!in_dn.ends_with(' '), "a DN value ends as text");
    for (std::size_t i = 0; i < in_dn.size(); ++i) {
        if (in_dn[i] == '\\') {
            ++i;
            continue;
        }
        require(
            std::string_view(",+\"<>;=").find(in_dn[i]) == std::string_view::npos,
            "no DN syntax in a value"
        );
    }

    // Whatever the name is, the filter around it keeps its shape.
    const auto filter = expand_filter("(&(a={username})(b={dn}))", name, name);
    require(std::count(filter.begin(), filter.end(), '(') == 3, "three filters open");
    require(std::count(filter.begin(), filter.end(), ')') == 3, "three filters close");
    require(filter == "(&(a=" + in_filter + ")(b=" + in_filter + "))", "each value once");
    require(expand_base("uid={username},dc=x", name) == "uid=" + in_dn + ",dc=x", "one value");

    if (const auto url = parse_server_url(name)) {
        require(url->scheme == ServerUrl::Scheme::ldapi || !url->host.empty(), "a URL has a host");
        require(url->scheme == ServerUrl::Scheme::ldapi || url->port != 0, "a URL has a port");
    }
    const auto id = parse_id(name);
    if (const auto* number = std::get_if<std::uint32_t>(&id)) {
        require(*number != 0xffff'ffff, "nobody's id is none");
    }
    return 0;
}
