// SPDX-License-Identifier: Apache-2.0
// uidnfs: launcher, keeper, worker and the small commands in one binary.
#include "app/commands.hpp"

#include <exception>
#include <string>
#include <vector>

int main(int argc, char** argv) {
    uidnfs::core::Terminal terminal;
    try {
        return uidnfs::app::run_program(std::vector<std::string>(argv, argv + argc), terminal);
    } catch (const std::exception& error) {
        terminal.complain(std::string("uidnfs: internal error: ") + error.what());
        return uidnfs::app::kExitFailed;
    }
}
