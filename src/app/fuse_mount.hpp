// SPDX-License-Identifier: Apache-2.0
// Makes a FUSE mount the way that leaves nothing behind: a detached mount first (fsopen(2),
// fsmount(2)), on which the worker answers the kernel, attached to the directory's descriptor when
// all is well (move_mount(2)). Closing a detached mount undoes it.
#pragma once

#include "config/mount_options.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace uidnfs::app {

/// max_read= of the mount; libfuse's INIT must say the same.
inline constexpr const char* kMaxRead = "1048576";

/// What goes to fsconfig(2), in order; a parameter without value is a flag. And MOUNT_ATTR_* of
/// fsmount(2).
struct FuseMountPlan {
    std::vector<std::pair<std::string, std::optional<std::string>>> parameters;
    unsigned attributes = 0;
};

/// Pure. `source` is what mountinfo shows. The kernel itself enforces access=strict: user_id=
/// without allow_other (fuse(4)).
FuseMountPlan plan_fuse_mount(const config::MountOptions& options, const std::string& source);

/// "cannot mount SOURCE on MOUNTPOINT: ", with which every message of these functions begins.
std::string cannot_mount(const std::string& source, const std::string& mountpoint);

/// Opens /dev/fuse. `what` is cannot_mount().
core::Outcome<core::Fd> open_fuse_device(const std::string& what);

/// A mount that is nowhere yet.
core::Outcome<core::Fd> make_detached_mount(
    const FuseMountPlan& plan, int fuse, const std::string& what
);

/// Puts it onto the directory. REQUIRES: `directory` is open, O_PATH is enough.
core::Outcome<void> attach_mount(int mount, int directory, const std::string& what);

/// Whether it is an open /dev/fuse, mounted or not.
bool is_fuse_device(int fd);

/// Minor number of a mount's st_dev, without asking the file system. Errors: errno of statx(2).
core::Result<std::uint32_t> minor_of(int mount);

/// The same of an open /dev/fuse that is mounted; nothing on kernels that do not tell
/// (before 6.18).
std::optional<std::uint32_t> minor_of_device(int fuse);

/// Whether the mount of an open /dev/fuse is no more, or its connection was aborted. Without one
/// yet: so too.
bool is_session_over(int fuse) noexcept;

/// Raises the kernel's read-ahead to `kib`, which it cuts to 128 KiB otherwise. Errors: errno of
/// open(2) and write(2) on /sys/class/bdi.
core::Result<void> raise_read_ahead(std::uint32_t minor, std::uint64_t kib);

}  // namespace uidnfs::app
