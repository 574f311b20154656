// SPDX-License-Identifier: Apache-2.0
// uidnfsd: the volume daemon and its small commands.
#include "plugins/daemon/commands.hpp"

#include <exception>
#include <string>
#include <vector>

int main(int argc, char** argv) {
    uidnfs::core::Terminal terminal;
    try {
        const auto status =
            uidnfs::plugins::run_program(std::vector<std::string>(argv, argv + argc), terminal);
        return terminal.end("uidnfsd", status);
    } catch (const std::exception& error) {
        terminal.complain(std::string("uidnfsd: internal error: ") + error.what());
        return uidnfs::plugins::kExitFailed;
    }
}
