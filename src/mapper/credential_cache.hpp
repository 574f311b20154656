// SPDX-License-Identifier: Apache-2.0
// CredentialCache: credentials of the processes behind requests (identity=caller), encoded once
// each. Reactor's thread only.
#pragma once

#include "mapper/credential.hpp"

#include <cstddef>
#include <list>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

namespace uidnfs::mapper {

class CredentialCache {
public:
    /// Beyond this the one used longest ago is forgotten; whoever holds it keeps it.
    static constexpr std::size_t kMaxEntries = 256;

    CredentialCache(std::string machine_name, RootIdentity root)
        : machine_name_(std::move(machine_name)), root_(root) {}

    /// The caller's ids as they are; more than 16 groups are cut to the first 16, as the kernel's
    /// client cuts them (net/sunrpc/auth_unix.c). EACCES for root unless it is allowed.
    core::Result<CredentialRef> get(
        ClientUid uid, ClientGid gid, std::span<const std::uint32_t> groups
    );

private:
    using Key = std::tuple<std::uint32_t, std::uint32_t, std::vector<std::uint32_t>>;
    struct Entry {
        CredentialRef credential;
        std::list<Key>::iterator use;
    };

    std::string machine_name_;
    RootIdentity root_;
    std::map<Key, Entry> entries_;
    std::list<Key> uses_;  ///< last used first
};

}  // namespace uidnfs::mapper
