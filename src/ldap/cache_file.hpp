// SPDX-License-Identifier: Apache-2.0
// The cache across a restart: identities and when they were verified, and nothing of a password.
// See docs/decisions on what such an identity may serve. Any thread; blocks on the disk.
#pragma once

#include "core/error.hpp"
#include "ldap/identity.hpp"
#include "ldap/options.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::ldap {

/// Of everything in the options that decides what an identity is: another configuration must not
/// take over what this one has found.
std::string fingerprint(const Options& options);

/// One line per identity after a first one with version and fingerprint; pure.
std::string write_identities(const std::vector<Identity>& identities, std::string_view fingerprint);
/// All or nothing: a file with a single wrong line is no file.
core::Outcome<std::vector<Identity>> read_identities(
    std::string_view text, std::string_view fingerprint
);

/// 0600, written beside, synced and renamed.
core::Outcome<void> save_file(const std::string& path, std::string_view text);
/// ENOENT when there is none; EPERM when it is not ours or others could have written or read it.
core::Outcome<std::string> load_file(const std::string& path);

}  // namespace uidnfs::ldap
