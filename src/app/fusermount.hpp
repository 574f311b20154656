// SPDX-License-Identifier: Apache-2.0
// Mounting without being root: fusermount3(1) does it, with its rules. It makes the mount at once,
// so it is asked only after the server has answered.
#pragma once

#include "config/mount_options.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace uidnfs::app {

/// Whether /etc/fuse.conf lets users open their mounts to others (fuse(8)).
enum class AllowOther : std::uint8_t { permitted, refused };
AllowOther parse_fuse_conf(std::string_view text);
AllowOther read_fuse_conf();

/// What `fusermount3 -o` gets, or why these options cannot be had by `uid`. A mount that may not be
/// open to others is for the user who makes it alone. Pure; `what` is cannot_mount().
core::Outcome<std::string> plan_fusermount(
    const config::MountOptions& options,
    const std::string& source,
    std::uint32_t uid,
    AllowOther allow_other,
    const std::string& what
);

/// The mounted /dev/fuse. REQUIRES: `mountpoint` is absolute. Blocks for as long as the program
/// runs.
core::Outcome<core::Fd> fusermount(
    const std::string& options, const std::string& mountpoint, const std::string& what
);

enum class FusermountDetach : std::uint8_t { if_unused, lazily };
/// EBUSY: it is in use. Others: EPERM with what the program said in the log.
core::Result<void> fusermount_unmount(const std::string& mountpoint, FusermountDetach how);

}  // namespace uidnfs::app
