// SPDX-License-Identifier: Apache-2.0
// Console: where the commands of this room write to.
#pragma once

#include "core/console.hpp"

namespace uidnfs::app {

using core::Console;

}  // namespace uidnfs::app
