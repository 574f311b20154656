// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/gauges.hpp"

#include "core/text.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

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

/// proc(5): RssAnon and RssShmem, the arena. Of the code, RssFile, all processes have the same
/// pages, and it is most of what an idle worker has.
std::optional<std::uint64_t> resident_bytes(std::uint32_t pid) {
    const auto text = core::read_whole(fmt::format("/proc/{}/status", pid));
    if (!text) return std::nullopt;
    std::uint64_t kibibytes = 0;
    bool is_told = false;
    for (const auto line : core::lines_of(*text)) {
        if (!line.starts_with("RssAnon:") && !line.starts_with("RssShmem:")) continue;
        const auto digits = line.find_first_of("0123456789");
        if (digits == std::string_view::npos) continue;
        std::uint64_t number = 0;
        std::from_chars(line.data() + digits, line.data() + line.size(), number);
        kibibytes += number;
        is_told = true;
    }
    // A zombie has none.
    return is_told ? std::optional(kibibytes << 10) : std::nullopt;
}

}  // namespace uidnfs::plugins
