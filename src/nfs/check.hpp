// SPDX-License-Identifier: Apache-2.0
// check_export(): what a mount of this source would meet, step by step, without mounting: name,
// connections, portmapper, MOUNT, security, FSINFO, access as the identity, and, when asked, which
// owner the server records for a new file. All of it with the credential that is checked.
#pragma once

#include "core/reactor.hpp"
#include "core/task.hpp"
#include "mapper/credential.hpp"
#include "nfs/mount.hpp"

#include <cstdint>
#include <functional>
#include <string>

namespace uidnfs::nfs {

struct CheckStep {
    std::string
        name;  ///< "name", "connect", "portmap", "mount", "security", "fsinfo", "access", "write"
    enum class Result : std::uint8_t {
        ok,
        notice,  ///< works, and is worth knowing
        failed,
    } result = Result::ok;
    std::string text;  ///< what was found; of a failure: why; what to do
};

/// Whether a file is created, looked at and removed again.
enum class CheckWrite : std::uint8_t { no, yes };

/// Reports each step as it ends. False when one has failed; steps that stand on it are left out.
/// Each waits for `timeo` * (`retrans` + 1) at most.
core::Task<bool> check_export(
    core::Reactor& reactor,
    Target target,
    MountParameters parameters,
    mapper::CredentialRef credential,
    CheckWrite write,
    std::function<void(const CheckStep&)> report
);

/// "read, list, modify, extend, delete, execute"; "nothing".
std::string describe_access(AccessBits granted);

/// What it means that a file which `credential` has made belongs to these. Pure.
CheckStep judge_owner(const mapper::Credential& credential, const Attr& made);

}  // namespace uidnfs::nfs
