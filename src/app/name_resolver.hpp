// SPDX-License-Identifier: Apache-2.0
// The resolver of names, a child of uidnfsd's mounter, which is root and asks nobody in the network
// by itself. One name, one process without rights.
#pragma once

#include <string>

namespace uidnfs::app {

/// The hidden command "name-resolver": as `user`, writes every address of `host` to standard
/// output, one a line, or why there is none. Returns the exit status.
int run_name_resolver(const std::string& user, const std::string& host);

}  // namespace uidnfs::app
