// SPDX-License-Identifier: Apache-2.0
// Orphan: a mount whose keeper was killed, and what its worker tells of it to whoever knocks at its
// door. It works; nobody replaces its worker.
#pragma once

#include "app/names.hpp"
#include "core/clock.hpp"

#include <boost/json.hpp>

namespace uidnfs::app {

/// All names of a status, whatever the worker does; by `deadline`.
boost::json::object status_of_orphan(const MountEntry& entry, core::SteadyTime deadline);

}  // namespace uidnfs::app
