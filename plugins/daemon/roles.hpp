// SPDX-License-Identifier: Apache-2.0
// The role in which uidnfsd starts itself: the mounter, which stays root. It is not for people:
// without the channel that its starter gives it ends at once.
#pragma once

#include "core/error.hpp"
#include "core/fd.hpp"
#include "plugins/settings/environment.hpp"

#include <optional>
#include <string>
#include <vector>

namespace uidnfs::plugins {

/// The exit status when `arguments` name the role; nothing when they do not.
std::optional<int> run_role(
    const std::vector<std::string>& arguments, const Environment& environment
);

/// Starts the mounter and waits until it is ready. The result is the front's end of its channel.
/// Failures say what is wrong with mounts.root or the configuration.
core::Outcome<core::Fd> start_mounter(const std::string& config, const Environment& environment);

}  // namespace uidnfs::plugins
