// SPDX-License-Identifier: Apache-2.0
// The commands: each runs to its end in the calling thread and returns the exit status.
#pragma once

#include "app/command_line.hpp"
#include "app/console.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::app {

/// The whole program. `arguments` are argv; the first chooses mount(8)'s helper roles.
int run_program(const std::vector<std::string>& arguments, Console& console);

int run_mount(const MountArguments& arguments, Console& console);
/// `mount -o remount`: changes what can change of the mount at the mount point.
int run_remount(const MountArguments& arguments, Console& console);
int run_check(const CheckArguments& arguments, Console& console);
int run_umount(const UmountArguments& arguments, Console& console);
int run_recover(const RecoverArguments& arguments, Console& console);
int run_adopt(const AdoptArguments& arguments, Console& console);
int run_upgrade(const UpgradeArguments& arguments, Console& console);
int run_status(const StatusArguments& arguments, Console& console);

/// To whoever may not; `what` begins with a space: " unmount it", or nothing where the line has
/// said it.
inline std::string only_owners_may(std::string_view what = {}) {
    return "only root and whoever mounted it may" + std::string(what) + "; run as one of them";
}

}  // namespace uidnfs::app
