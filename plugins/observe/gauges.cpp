// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/gauges.hpp"

#include "core/fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>

namespace uidnfs::plugins {

Gauges read_gauges(
    const Volumes& volumes,
    const HealthWatch& health,
    const AuditLog& audit,
    const Store& store,
    const ldap::Directory* directory
) {
    Gauges gauges;
    for (const auto dialect : {Dialect::docker, Dialect::cloudfoundry}) {
        for (const auto& info : volumes.list(dialect)) ++gauges.volumes[{dialect, info.state}];
    }
    for (const auto state : {Health::healthy, Health::degraded, Health::stale, Health::failed}) {
        gauges.health[state] = health.count(state);
    }
    gauges.audit_waiting = audit.waiting();
    gauges.audit_lost = audit.lost();
    gauges.damaged_state_files = store.damaged().size();
    if (directory) gauges.directory = directory->counters();
    return gauges;
}

std::optional<std::uint64_t> resident_bytes(std::uint32_t pid) {
    const core::Fd fd(::open(fmt::format("/proc/{}/statm", pid).c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 128> text{};
    if (!fd || ::read(fd.get(), text.data(), text.size() - 1) <= 0) return std::nullopt;
    const char* second = std::strchr(text.data(), ' ');  // proc(5): size, resident, ...
    std::uint64_t pages = 0;
    if (!second ||
        std::from_chars(second + 1, text.data() + text.size(), pages).ec != std::errc()) {
        return std::nullopt;
    }
    return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace uidnfs::plugins
