// SPDX-License-Identifier: Apache-2.0
// Gauges: the numbers that nobody counts, since they are asked for when metrics are read.
#pragma once

#include "ldap/directory.hpp"
#include "plugins/core/volumes.hpp"
#include "plugins/observe/audit_log.hpp"
#include "plugins/observe/health_watch.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

namespace uidnfs::plugins {

/// What is so at the moment it is read.
struct Gauges {
    std::map<std::pair<Dialect, State>, std::size_t> volumes = {};
    std::map<Health, std::size_t> health = {};
    std::size_t audit_waiting = 0;
    std::uint64_t audit_lost = 0;
    std::size_t damaged_state_files = 0;
    std::optional<ldap::Directory::Counters> directory = {};  ///< may count from 0 after a reload
};
/// `directory` may be null.
Gauges read_gauges(
    const Volumes& volumes,
    const HealthWatch& health,
    const AuditLog& audit,
    const Store& store,
    const ldap::Directory* directory
);

/// Bytes that a process has in memory, of /proc/PID/statm.
std::optional<std::uint64_t> resident_bytes(std::uint32_t pid);

}  // namespace uidnfs::plugins
