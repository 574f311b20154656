// SPDX-License-Identifier: Apache-2.0
// What a mount's options mean for file semantics; src/app makes it from config::MountOptions.
#pragma once

#include "mapper/credential.hpp"
#include "mapper/gate.hpp"
#include "mapper/presenter.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace uidnfs::fs {

/// In whose name calls are made.
enum class IdentityMode : std::uint8_t {
    fixed,   ///< Options::credential, always
    caller,  ///< the process behind the request; an open file's opener
};
enum class CloseToOpen : std::uint8_t { on, off };
enum class LookupCache : std::uint8_t { all, positive, none };
enum class Readdirplus : std::uint8_t { on, off };
enum class WriteMode : std::uint8_t { async, sync };
enum class CommitOn : std::uint8_t { close, behind };
enum class Writable : std::uint8_t { yes, no };
/// What becomes of root's changes of owners, and of the attributes of the share's root. Container
/// engines make them when they copy an image's directory to an empty volume.
enum class CopyUp : std::uint8_t { sent, swallowed };

/// Attribute cache timers of nfs(5).
struct AttrTimers {
    std::chrono::milliseconds file_min{3000};
    std::chrono::milliseconds file_max{60000};
    std::chrono::milliseconds dir_min{30000};
    std::chrono::milliseconds dir_max{60000};
};

struct Options {
    mapper::CredentialRef credential;  ///< of the mount itself
    IdentityMode identity = IdentityMode::fixed;
    mapper::RootIdentity root_identity = mapper::RootIdentity::refused;  ///< for identity=caller
    mapper::Presenter presenter;
    mapper::Gate gate;
    AttrTimers timers;
    CloseToOpen close_to_open = CloseToOpen::on;
    LookupCache lookup_cache = LookupCache::all;
    Readdirplus readdirplus = Readdirplus::on;
    WriteMode write_mode = WriteMode::async;
    CommitOn commit_on = CommitOn::close;
    Writable writable = Writable::yes;
    CopyUp copy_up = CopyUp::sent;
    std::string mount_name = {};               ///< for log lines: where it is mounted
    std::uint64_t write_behind = 64ull << 20;  ///< bytes acknowledged and not yet committed
};

}  // namespace uidnfs::fs
