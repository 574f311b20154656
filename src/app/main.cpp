// SPDX-License-Identifier: Apache-2.0
// uidnfs: launcher, keeper, worker and the small commands in one binary.
#include "app/commands.hpp"

#include <exception>
#include <string>
#include <vector>

int main(int argc, char** argv) {
    uidnfs::core::Terminal terminal;
    try {
        const auto status =
            uidnfs::app::run_program(std::vector<std::string>(argv, argv + argc), terminal);
        return terminal.end("uidnfs", status);
    } catch (const std::exception& error) {
        terminal.complain(std::string("uidnfs: internal error: ") + error.what());
        return uidnfs::app::kExitFailed;
    }
}
