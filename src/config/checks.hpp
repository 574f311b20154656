// SPDX-License-Identifier: Apache-2.0
// What one option alone cannot say: which options need, exclude or change each other. Pure.
#pragma once

#include "config/mount_options.hpp"

#include <string>
#include <vector>

namespace uidnfs::config {

/// What is missing to say who the mount is on the server, as find_contradictions() says it; empty
/// when nothing is.
std::string find_missing_identity(const MountOptions& options);

/// Every contradiction, each as "option: why not; what to do". Empty: the options can be used.
std::vector<std::string> find_contradictions(const MountOptions& options);

/// Makes what nfs(5) derives or rounds explicit: noac means actimeo=0 and sync; rsize and wsize
/// become multiples of 1024 between 4096 and 1 MiB. Appends what a person should know to
/// `warnings`.
void settle(MountOptions& options, std::vector<std::string>& warnings);

}  // namespace uidnfs::config
