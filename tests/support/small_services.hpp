// SPDX-License-Identifier: Apache-2.0
// The two programs around NFS: MOUNT version 3 (RFC 1813 appendix I) and the portmapper, versions 2 and 3
// (RFC 1833). Peer's thread only.
#pragma once

#include "nfs/types.hpp"
#include "support/service.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace uidnfs::test {

/// What MNT answers for one path.
struct Export {
    nfs::FileHandle root = {};
    std::uint32_t status = 0;  ///< mountstat3
    std::vector<std::uint32_t> flavors = {1};
    std::vector<std::string> groups = {};  ///< shown by EXPORT
};

class MountService {
public:
    std::map<std::string, Export> exports = {};
    std::uint32_t version = 3;

    Work prepare(const RpcCall& call);
    /// "MNT /a", "UMNT /a", in order.
    const std::vector<std::string>& calls() const noexcept { return calls_; }
    const std::vector<Identity>& callers() const noexcept { return callers_; }

private:
    std::vector<std::string> calls_;
    std::vector<Identity> callers_;
};

class PortmapService {
public:
    /// Ports of programs; others are not registered (port 0).
    std::map<std::uint32_t, std::uint16_t> ports = {};
    /// Answered to version 3 and above; NFS only needs version 2.
    enum class Version3 : std::uint8_t { served, mismatch } version3 = Version3::served;

    Work prepare(const RpcCall& call);
};

}  // namespace uidnfs::test
