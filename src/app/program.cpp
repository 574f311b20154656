// SPDX-License-Identifier: Apache-2.0
// From argv to the command or role.
#include "app/commands.hpp"
#include "app/helper_line.hpp"
#include "app/keeper.hpp"
#include "app/name_resolver.hpp"
#include "app/process.hpp"
#include "app/worker.hpp"

#include <type_traits>

namespace uidnfs::app {
namespace {

int run_role(int (*role)(), Console& console) {
    const int status = role();
    if (status == kRoleMisused) {
        console.complain("uidnfs: this command is started by uidnfs mount; see uidnfs --help");
    }
    return status;
}

}  // namespace

int run_program(const std::vector<std::string>& arguments, Console& console) {
    const std::vector<std::string> rest(
        arguments.empty() ? arguments.begin() : arguments.begin() + 1, arguments.end()
    );
    if (const auto helper = arguments.empty() ? std::nullopt : helper_role(arguments.front())) {
        return run_helper(*helper, rest, console);
    }
    if (rest.size() == 3 && rest[0] == "name-resolver") return run_name_resolver(rest[1], rest[2]);
    return std::visit(
        [&](const auto& command) {
            using T = std::decay_t<decltype(command)>;
            if constexpr (std::is_same_v<T, MountArguments>) {
                return run_mount(command, console);
            } else if constexpr (std::is_same_v<T, UmountArguments>) {
                return run_umount(command, console);
            } else if constexpr (std::is_same_v<T, StatusArguments>) {
                return run_status(command, console);
            } else if constexpr (std::is_same_v<T, CheckArguments>) {
                return run_check(command, console);
            } else if constexpr (std::is_same_v<T, RecoverArguments>) {
                return run_recover(command, console);
            } else if constexpr (std::is_same_v<T, UpgradeArguments>) {
                return run_upgrade(command, console);
            } else if constexpr (std::is_same_v<T, AdoptArguments>) {
                return run_adopt(command, console);
            } else if constexpr (std::is_same_v<T, ShowText>) {
                console.print(command.text);
                return kExitDone;
            } else if constexpr (std::is_same_v<T, UsageError>) {
                console.complain(command.text);
                return kExitUsage;
            } else if constexpr (std::is_same_v<T, KeeperRole>) {
                return run_role(run_keeper, console);
            } else if constexpr (std::is_same_v<T, SalvageRole>) {
                return run_role(run_salvage, console);
            } else {
                return run_role(run_worker, console);
            }
        },
        parse_command_line(rest)
    );
}

}  // namespace uidnfs::app
