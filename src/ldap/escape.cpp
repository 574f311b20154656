// SPDX-License-Identifier: Apache-2.0
#include "ldap/escape.hpp"

#include <algorithm>

namespace uidnfs::ldap {
namespace {

constexpr std::string_view kUsername = "{username}";
constexpr std::string_view kDn = "{dn}";

void append_hex(std::string& out, char byte) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const auto value = static_cast<unsigned char>(byte);
    out += '\\';
    out += kDigits[value >> 4];
    out += kDigits[value & 15];
}

bool is_plain_ascii(char byte) { return byte >= 0x20 && byte < 0x7f; }

bool is_name_of_attribute(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '-' || c == '.';
    });
}

std::string folded(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == ' ' && (out.empty() || out.back() == ' ')) continue;
        out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    if (out.ends_with(' ')) out.pop_back();
    return out;
}

/// One pass, so that a user who is called "{dn}" stays so.
template <class Replace>
std::string expand(std::string_view text, Replace replace) {
    std::string out;
    while (!text.empty()) {
        const auto brace = text.find('{');
        out += text.substr(0, brace);
        if (brace == std::string_view::npos) break;
        text.remove_prefix(brace);
        text.remove_prefix(replace(text, out));
    }
    return out;
}

}  // namespace

std::string escape_filter(std::string_view value) {
    std::string out;
    out.reserve(value.size());
    for (const char byte : value) {
        const bool special = byte == '*' || byte == '(' || byte == ')' || byte == '\\';
        if (special || !is_plain_ascii(byte)) {
            append_hex(out, byte);
        } else {
            out += byte;
        }
    }
    return out;
}

std::string escape_dn(std::string_view value) {
    std::string out;
    out.reserve(value.size());
    for (std::size_t i = 0; i < value.size(); ++i) {
        const char byte = value[i];
        const bool edge_space = byte == ' ' && (i == 0 || i + 1 == value.size());
        const bool first_hash = byte == '#' && i == 0;
        const bool special = std::string_view("\"+,;<=>\\").find(byte) != std::string_view::npos;
        if (special || edge_space || first_hash || !is_plain_ascii(byte)) {
            append_hex(out, byte);
        } else {
            out += byte;
        }
    }
    return out;
}

std::string expand_filter(std::string_view text, std::string_view user, std::string_view dn) {
    return expand(text, [&](std::string_view rest, std::string& out) {
        if (rest.starts_with(kUsername)) {
            out += escape_filter(user);
            return kUsername.size();
        }
        if (rest.starts_with(kDn)) {
            out += escape_filter(dn);
            return kDn.size();
        }
        out += rest.front();
        return std::size_t{1};
    });
}

std::string expand_base(std::string_view text, std::string_view user) {
    return expand(text, [&](std::string_view rest, std::string& out) {
        if (rest.starts_with(kUsername)) {
            out += escape_dn(user);
            return kUsername.size();
        }
        out += rest.front();
        return std::size_t{1};
    });
}

std::vector<std::string> login_attributes(std::string_view filter) {
    std::vector<std::string> names;
    const auto term = "=" + std::string(kUsername) + ")";
    for (auto at = filter.find(term); at != filter.npos; at = filter.find(term, at + 1)) {
        const auto before = filter.substr(0, at);
        const auto name = before.substr(before.rfind('(') + 1);
        if (is_name_of_attribute(name)) names.emplace_back(name);
    }
    return names;
}

bool is_same_login(std::string_view a, std::string_view b) { return folded(a) == folded(b); }

bool mentions(std::string_view text, Placeholder placeholder) {
    const auto word = placeholder == Placeholder::username ? kUsername : kDn;
    return text.find(word) != std::string_view::npos;
}

}  // namespace uidnfs::ldap
