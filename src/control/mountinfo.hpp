// SPDX-License-Identifier: Apache-2.0
// What /proc/self/mountinfo (proc(5)) says about mounts of ours. Nothing here touches a path on a
// mount: a dead server must not be able to stop anybody who asks. Pure but for read_mountinfo().
#pragma once

#include "core/error.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::control {

/// Type of a mount of ours: "fuse" with the subtype "uidnfs".
inline constexpr std::string_view kFilesystemType = "fuse.uidnfs";

struct MountEntry {
    std::uint64_t id = 0;      ///< unique among the mounts that exist now
    std::uint64_t parent = 0;  ///< the mount that it is mounted on
    std::uint32_t major = 0;  ///< of st_dev; 0 for FUSE
    std::uint32_t minor = 0;
    std::string root;  ///< "/" unless it is a bind mount of a part
    std::string mountpoint;
    std::string type;
    std::string source;
    std::uint32_t owner = 0;       ///< user_id= of a FUSE mount (fuse(4))
    std::string propagation = {};  ///< optional fields: "shared:5 master:1"
    std::string flags = {};        ///< of the mount, not of the file system: "rw,nosuid,nodev"
};

/// In the order of the file, in which they were made, not attached. Lines that are not understood
/// are left out.
std::vector<MountEntry> parse_mountinfo(std::string_view text);
core::Result<std::vector<MountEntry>> read_mountinfo();

bool is_ours(const MountEntry& entry) noexcept;
/// What lies on top at this path, whoever's it is.
const MountEntry* find_by_path(const std::vector<MountEntry>& mounts, std::string_view path);
/// The mount that `path` is on, whether it exists or not.
const MountEntry* find_below(const std::vector<MountEntry>& mounts, std::string_view path);
const MountEntry* find_by_id(const std::vector<MountEntry>& mounts, std::uint64_t id);
/// Mounts of ours with this device, the first mounted first.
std::vector<MountEntry> find_by_minor(const std::vector<MountEntry>& mounts, std::uint32_t minor);

/// A number in /proc/self/fdinfo/FD (proc(5)), such as "mnt_id:", the mount that a descriptor is
/// on. Errors: errno of open(2); EPROTO without such a line.
core::Result<std::uint64_t> descriptor_fact(int fd, std::string_view label);

}  // namespace uidnfs::control
