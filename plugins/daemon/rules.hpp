// SPDX-License-Identifier: Apache-2.0
// From the settings to what the parts of the daemon take. Pure.
#pragma once

#include "plugins/cloudfoundry/spec_file.hpp"
#include "plugins/core/volume_options.hpp"
#include "plugins/core/volumes.hpp"
#include "plugins/mounter/mount_check.hpp"
#include "plugins/settings/settings.hpp"

namespace uidnfs::plugins {

OptionRules rules_of(const Settings& settings);
Volumes::Limits limits_of(const Settings& settings);
cloudfoundry::Endpoint endpoint_of(const CloudFoundrySettings& settings);
mounter::Allowed allowed_of(const Settings& settings);

}  // namespace uidnfs::plugins
