// SPDX-License-Identifier: Apache-2.0
#include "ldap/groups.hpp"

#include "ldap/entry.hpp"

#include <algorithm>
#include <map>

namespace uidnfs::ldap {

ChosenGroups choose_groups(
    mapper::ServerGid primary,
    std::span<const Group> groups,
    std::span<const std::uint32_t> prefer,
    RootGroup root
) {
    ChosenGroups chosen;
    std::map<std::uint32_t, std::string> by_number;
    std::vector<LeftOut> not_ids;
    for (const auto& group : groups) {
        if (group.gid.empty()) continue;
        const auto id = parse_id(group.gid);
        if (const auto* gid = std::get_if<std::uint32_t>(&id)) {
            if (*gid != primary.value()) by_number.emplace(*gid, group.name);
        } else {
            not_ids.push_back({LeftOut::Why::not_an_id, group.name, group.gid});
        }
    }
    if (root == RootGroup::refused) {
        if (const auto zero = by_number.extract(0)) {
            chosen.left_out.push_back({LeftOut::Why::root, zero.mapped(), "0"});
        }
    }
    for (const auto gid : prefer) {
        if (chosen.groups.size() == kMaxGroups) break;
        if (by_number.erase(gid) != 0) chosen.groups.emplace_back(gid);
    }
    for (const auto& [gid, name] : by_number) {
        if (chosen.groups.size() < kMaxGroups) {
            chosen.groups.emplace_back(gid);
        } else {
            chosen.left_out.push_back({LeftOut::Why::too_many, name, std::to_string(gid)});
        }
    }
    std::ranges::move(not_ids, std::back_inserter(chosen.left_out));
    return chosen;
}

}  // namespace uidnfs::ldap
