// SPDX-License-Identifier: Apache-2.0
#include "ldap/entry.hpp"

#include "ldap/escape.hpp"
#include "mapper/ids.hpp"

#include <strings.h>

#include <charconv>

namespace uidnfs::ldap {
namespace {

bool same_name(std::string_view a, std::string_view b) {
    return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

const std::vector<std::string>& Entry::values(std::string_view name) const {
    static const std::vector<std::string> none;
    for (const auto& attribute : attributes) {
        const auto base = std::string_view(attribute.name).substr(0, attribute.name.find(';'));
        // Active Directory sends an empty "memberOf" beside "memberOf;range=0-1499".
        if (same_name(base, name) && !attribute.values.empty()) return attribute.values;
    }
    return none;
}

std::string_view Entry::value(std::string_view name) const {
    const auto& all = values(name);
    return all.empty() ? std::string_view{} : std::string_view(all.front());
}

bool Entry::is_partial(std::string_view name) const {
    for (const auto& attribute : attributes) {
        const auto option = attribute.name.find(';');
        if (option == std::string::npos) continue;
        const auto text = std::string_view(attribute.name);
        if (!same_name(text.substr(0, option), name)) continue;
        const auto range = text.substr(option);
        // "range=1500-*" is the last part: complete only if it is also the first.
        if (range.starts_with(";range=") && !range.starts_with(";range=0-*")) return true;
    }
    return false;
}

std::string login_in(
    const Entry& entry, const std::vector<std::string>& logins, const std::string& user
) {
    const std::string* similar = &user;
    for (const auto& login : logins) {
        for (const auto& value : entry.values(login)) {
            if (value == user) return user;
            if (similar == &user && is_same_login(value, user)) similar = &value;
        }
    }
    return *similar;
}

std::string_view to_string(NoId why) noexcept {
    switch (why) {
        case NoId::missing: return "is missing";
        case NoId::several: return "has more than one value";
        case NoId::not_a_number: return "is not a number of digits only";
        case NoId::too_large: return "does not fit in 32 bits";
        case NoId::reserved: return "is 4294967295, which is nobody's id";
    }
    return "is not an id";
}

std::variant<std::uint32_t, NoId> parse_id(std::string_view text) {
    if (text.empty()) return NoId::missing;
    for (const char c : text) {
        if (c < '0' || c > '9') return NoId::not_a_number;
    }
    std::uint32_t id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc{}) return NoId::too_large;
    if (id == mapper::kNoId) return NoId::reserved;
    return id;
}

std::variant<std::uint32_t, NoId> parse_id(const std::vector<std::string>& values) {
    if (values.empty()) return NoId::missing;
    if (values.size() > 1) return NoId::several;
    return parse_id(values.front());
}

}  // namespace uidnfs::ldap
