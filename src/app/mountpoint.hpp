// SPDX-License-Identifier: Apache-2.0
// Mountpoint: the directory that will be mounted on, held by an O_PATH descriptor, so that nothing
// can take its place between the check and the mount. Never touches a file system that is mounted
// there.
#pragma once

#include "app/names.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"

#include <optional>
#include <string>

namespace uidnfs::app {

struct Mountpoint {
    core::Fd directory;  ///< O_PATH
    std::string path;    ///< absolute, without symbolic links
};

/// Refused: missing, not a directory, a mount of ours already. `source` is for the message.
core::Outcome<Mountpoint> open_mountpoint(const std::string& path, const std::string& source);

/// Keepers of one user attach one after the other, so that each sees what another has mounted in
/// its place; those that unmount by place take their turn as well. Held by what is returned. One
/// that hangs in its turn holds up the others no longer than a second.
core::Fd take_turn();

/// Right before the mount: refused where one of ours has come to `path`.
core::Outcome<void> check_still_free(const std::string& path, const std::string& source);

/// What is known of it without asking the file system that it is on, which may be a mount of ours.
struct ProgramPlace {
    bool is_file = false;
    bool is_on_ours = false;
};
ProgramPlace place_of_program(int program);

/// Without symbolic links as far as it exists.
std::string absolute_path(const std::string& path);

/// N of "/dev/fd/N": an open /dev/fuse that somebody else has mounted.
std::optional<int> inherited_device(const std::string& mountpoint);

/// Absolute path as mountinfo has it; the last component is not looked at unless it is a link,
/// since a mount may lie on it. Errors: errno of open(2) or of realpath(3) on the parent.
core::Result<std::string> canonical_mountpoint(const std::string& path);

}  // namespace uidnfs::app
