// SPDX-License-Identifier: Apache-2.0
// Credential: the AUTH_SYS identity of RFC 5531 section 8.2 and appendix A, encoded once.
// Immutable, so it may be shared by all calls of a mount.
#pragma once

#include "core/error.hpp"
#include "mapper/ids.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace uidnfs::mapper {

enum class RootIdentity { refused, allowed };

class Credential {
public:
    static constexpr std::size_t kMaxGroups = 16;        ///< RFC 5531 appendix A
    static constexpr std::size_t kMaxMachineName = 255;  ///< bytes

    struct Identity {
        ServerUid uid;
        ServerGid gid;
        std::vector<ServerGid> groups = {};
    };

    /// EPERM for uid 0 or gid 0 (also among the groups) unless allowed; EINVAL for more than 16
    /// groups, an id of 2^32-1 or a machine name that is empty or too long. The text says which.
    static core::Outcome<std::shared_ptr<const Credential>> make(
        Identity identity, std::string machine_name, RootIdentity root = RootIdentity::refused
    );

    ServerUid uid() const noexcept { return identity_.uid; }
    ServerGid gid() const noexcept { return identity_.gid; }
    const std::vector<ServerGid>& groups() const noexcept { return identity_.groups; }
    const std::string& machine_name() const noexcept { return machine_name_; }

    /// opaque_auth cred and verf as they follow the procedure number in a call (XDR, big endian).
    std::span<const std::byte> encoded() const noexcept { return encoded_; }

    /// "1001:1001" or "1001:1001 groups 5,7"; for logs and status.
    std::string describe() const;

private:
    Credential(Identity identity, std::string machine_name);

    Identity identity_;
    std::string machine_name_;
    std::vector<std::byte> encoded_;
};

using CredentialRef = std::shared_ptr<const Credential>;

}  // namespace uidnfs::mapper
