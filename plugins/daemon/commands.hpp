// SPDX-License-Identifier: Apache-2.0
// The commands of uidnfsd. Each runs to its end and returns an exit status.
#pragma once

#include "core/console.hpp"
#include "plugins/daemon/command_line.hpp"
#include "plugins/settings/environment.hpp"

#include <string>
#include <vector>

namespace uidnfs::plugins {

int run_check(const Check& command, const Environment& environment, core::Console& console);
int run_resolve(const Resolve& command, const Environment& environment, core::Console& console);
int run_check_bindings(
    const CheckBindings& command, const Environment& environment, core::Console& console
);
int run_support(const Support& command, const Environment& environment, core::Console& console);
int run_service(const Serve& command, const Environment& environment, core::Console& console);

/// What every command does before it knows a secret: no core files, not dumpable, so that neither
/// a crash nor another process of the same user gets at its memory.
void protect_process();

/// `arguments` with the program's name.
int run_program(const std::vector<std::string>& arguments, core::Console& console);

}  // namespace uidnfs::plugins
