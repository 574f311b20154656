// SPDX-License-Identifier: Apache-2.0
// credentials=NAME: a file of the operator instead of a password that a platform would store.
// Blocking, but only for a small local file.
#pragma once

#include "core/error.hpp"
#include "core/secret.hpp"

#include <string>

namespace uidnfs::plugins {

struct Login {
    std::string username;
    core::Secret password;
};

/// Reads DIRECTORY/NAME: lines "username=..." and "password=...", empty ones, and ones that begin
/// with '#'. REQUIRES: NAME is one component (check_options() saw it). The file belongs to root or
/// to us, nobody else can write to it, and only root and our own group can read it: else EPERM.
/// Failures name NAME and never its content.
core::Outcome<Login> read_credentials(const std::string& directory, const std::string& name);

}  // namespace uidnfs::plugins
