// SPDX-License-Identifier: Apache-2.0
// Entries from a directory that lies. Input: lines "name: value", several of a name being its
// values; "bind CODE TEXT" is the answer to the user's bind, "group NAME GID" one of his groups.
#include "fuzz/fuzz.hpp"
#include "ldap/account.hpp"
#include "ldap/entry.hpp"
#include "ldap/groups.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace {

using namespace uidnfs::ldap;
using uidnfs::fuzz::is_one_printable_line;
using uidnfs::fuzz::require;

struct Told {
    Entry entry;
    BindAnswer bind;
    std::vector<Group> groups;
};

std::string_view take(std::string_view& rest, char end) {
    const auto part = rest.substr(0, rest.find(end));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    return part;
}

Told read(std::string_view rest) {
    Told told;
    while (!rest.empty()) {
        auto line = take(rest, '\n');
        if (line.starts_with("bind ")) {
            line.remove_prefix(5);
            for (const char c : take(line, ' '))
                told.bind.code = told.bind.code % 10'000 * 10 + (c - '0') % 10;
            told.bind.policy = static_cast<BindAnswer::Policy>(line.size() % 4);
            told.bind.text = line;
        } else if (line.starts_with("group ")) {
            line.remove_prefix(6);
            const auto name = take(line, ' ');
            told.groups.push_back({std::string(name), std::string(line)});
        } else {
            const auto name = take(line, ':');
            auto& attributes = told.entry.attributes;
            const auto known =
                std::find_if(attributes.begin(), attributes.end(), [&](const auto& attribute) {
                    return attribute.name == name;
                });
            if (known == attributes.end()) {
                attributes.push_back({std::string(name), {std::string(line)}});
            } else {
                known->values.emplace_back(line);
            }
        }
    }
    return told;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto told = read(uidnfs::fuzz::as_text(data, size));
    const auto now = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000));
    if (const auto why = why_disabled(told.entry, now)) {
        require(is_one_printable_line(*why), "a reason is for users");
    }
    if (const auto verdict = judge_bind(told.bind, told.entry)) {
        require(is_one_printable_line(verdict->why), "a verdict is for users");
    }
    const auto id = parse_id(told.entry.values("uidNumber"));
    if (const auto* number = std::get_if<std::uint32_t>(&id)) {
        require(*number != 0xffffffff, "no change is no id");
    }
    (void)told.entry.is_partial("memberOf");
    constexpr std::uint32_t kPreferred[]{5000, 0, 6000};
    const uidnfs::mapper::ServerGid primary(1001);
    const auto chosen = choose_groups(primary, told.groups, kPreferred);
    require(chosen.groups.size() <= kMaxGroups, "no more than fit");
    std::set<std::uint32_t> seen{primary.value(), 0};
    for (const auto group : chosen.groups) {
        require(seen.insert(group.value()).second, "no group twice, no primary one, no root's");
    }
    return 0;
}
