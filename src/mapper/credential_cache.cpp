// SPDX-License-Identifier: Apache-2.0
#include "mapper/credential_cache.hpp"

#include <algorithm>
#include <cerrno>

namespace uidnfs::mapper {

core::Result<CredentialRef> CredentialCache::get(
    ClientUid uid, ClientGid gid, std::span<const std::uint32_t> groups
) {
    groups = groups.first(std::min(groups.size(), Credential::kMaxGroups));
    Key key{uid.value(), gid.value(), {groups.begin(), groups.end()}};
    if (const auto known = entries_.find(key); known != entries_.end()) {
        uses_.splice(uses_.begin(), uses_, known->second.use);
        return known->second.credential;
    }
    Credential::Identity identity{ServerUid(uid.value()), ServerGid(gid.value()), {}};
    for (const auto group : groups) identity.groups.emplace_back(group);
    // Groups of a process often include 0 without its being root; the user is what counts.
    const auto root = uid.value() == 0 ? root_ : RootIdentity::allowed;
    auto made = Credential::make(std::move(identity), machine_name_, root);
    if (!made) return core::Error(EACCES);
    if (entries_.size() == kMaxEntries) {
        entries_.erase(uses_.back());
        uses_.pop_back();
    }
    uses_.push_front(key);
    entries_.emplace(std::move(key), Entry{*made, uses_.begin()});
    return *made;
}

}  // namespace uidnfs::mapper
