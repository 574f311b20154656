// SPDX-License-Identifier: Apache-2.0
// Inspector: the seam for questions and orders to a worker that lives: through its control socket, never
// through the path of its mount, which may hang. Called on the reactor's thread; must not block it.
#pragma once

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/task.hpp"
#include "plugins/core/live_record.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace uidnfs::plugins {

/// Each call ends exactly once, and not long after its deadline.
class Inspector {
public:
    virtual ~Inspector() = default;

    /// The JSON object of `uidnfs status --json` for that mount. `written`: its keeper may forget
    /// what it recorded of connections up to this number. ESRCH: there is no such worker.
    virtual core::Task<core::Outcome<std::string>> status(
        VolumeKey volume, Worker worker, std::uint64_t written, core::SteadyTime deadline
    ) = 0;

    /// "trace", "debug", "info", "warning", "error" or "off". EINVAL: no such level.
    virtual core::Task<core::Outcome<void>> set_log_level(
        VolumeKey volume, Worker worker, std::string level, core::SteadyTime deadline
    ) = 0;

    /// The identity of the mount may do nothing any more (`uidnfs` answers EACCES and sends nothing),
    /// until allow(). Returns the bytes that were acknowledged and not written. Asked again, it is
    /// as before. ESRCH: there is no such worker.
    virtual core::Task<core::Outcome<std::vector<std::string>>> deny(
        VolumeKey volume, Worker worker, std::string reason, core::SteadyTime deadline
    ) = 0;
    virtual core::Task<core::Outcome<void>> allow(
        VolumeKey volume, Worker worker, core::SteadyTime deadline
    ) = 0;
};

}  // namespace uidnfs::plugins
