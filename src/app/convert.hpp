// SPDX-License-Identifier: Apache-2.0
// From options to what nfs and fs take. Pure.
#pragma once

#include "config/mount_options.hpp"
#include "core/error.hpp"
#include "fs/options.hpp"
#include "nfs/mount.hpp"

#include <chrono>
#include <string>

namespace uidnfs::app {

nfs::Target target_of(const config::Source& source);
nfs::MountParameters parameters_of(const config::MountOptions& options);

/// `machine_name` goes into every AUTH_SYS credential. Fails as mapper::Credential::make().
core::Outcome<fs::Options> filesystem_options_of(
    const config::MountOptions& options, std::string machine_name
);

/// gethostname(2), cut to what AUTH_SYS can carry; "localhost" where there is none.
std::string machine_name();

/// How long a mount may take in all: what nfs gives a server to answer, plus a margin for
/// ourselves.
std::chrono::milliseconds mount_deadline(const config::MountOptions& options);

}  // namespace uidnfs::app
