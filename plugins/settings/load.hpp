// SPDX-License-Identifier: Apache-2.0
// From files and environment to Settings that can be used, or to everything that is wrong.
#pragma once

#include "plugins/settings/environment.hpp"
#include "plugins/settings/problem.hpp"
#include "plugins/settings/settings.hpp"

#include <sys/types.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

namespace uidnfs::plugins {

struct Loaded {
    std::optional<Settings> settings = {};  ///< nothing where there are problems
    std::vector<Problem> problems = {};
    std::vector<std::string> warnings = {};
};

/// Reads `path` and the secret files that it names. Any thread; it blocks on files only. A secret
/// that only root can read (mode 0600, a credential of systemd) is out of reach once the service is
/// its user: where the same file is named as `in_force` has it, the secret of then stays, with a
/// warning. `reader`: who reads it, or who began the process that does, since a service which was
/// begun by root believes root alone about the configuration itself.
Loaded load_settings(
    const std::string& path,
    const Environment& environment,
    const Settings* in_force = nullptr,
    uid_t reader = ::geteuid()
);

}  // namespace uidnfs::plugins
