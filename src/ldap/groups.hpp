// SPDX-License-Identifier: Apache-2.0
// Which of a user's groups go on the wire. Pure.
#pragma once

#include "ldap/identity.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace uidnfs::ldap {

/// A group as the directory has it. `gid` is empty for groups that are none to Unix.
struct Group {
    std::string name;
    std::string gid;
};

struct ChosenGroups {
    std::vector<mapper::ServerGid> groups;  ///< at most kMaxGroups, without `primary`, no doubles
    std::vector<LeftOut> left_out;          ///< by number
};

enum class RootGroup { refused, allowed };

/// First those of `prefer`, in its order, then by number. Groups without a gid are not mentioned.
ChosenGroups choose_groups(
    mapper::ServerGid primary,
    std::span<const Group> groups,
    std::span<const std::uint32_t> prefer,
    RootGroup root = RootGroup::refused
);

}  // namespace uidnfs::ldap
