// SPDX-License-Identifier: Apache-2.0
// What is kept of a password in the cache: argon2id (RFC 9106) by libsodium with 16 MiB and two
// passes. It takes some 30 ms of a core; the Directory runs two at a time. The salt is the user
// name under a random key of the process, so that equal passwords of two users or two runs have
// different hashes, and all hashes of one user can be compared. Immutable; any thread.
#pragma once

#include "core/secret.hpp"
#include "ldap/cache.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace uidnfs::ldap {

inline constexpr std::size_t kHashMemory = std::size_t{16} << 20;
inline constexpr unsigned kHashPasses = 2;

class PasswordHasher {
public:
    /// With a random key.
    PasswordHasher();
    /// Nothing when there is no memory for it.
    std::optional<PasswordHash> hash(std::string_view user, const core::Secret& password) const;

private:
    std::array<std::uint8_t, 32> key_;
};

}  // namespace uidnfs::ldap
