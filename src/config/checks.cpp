// SPDX-License-Identifier: Apache-2.0
#include "config/checks.hpp"

#include "mapper/credential.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace uidnfs::config {
namespace {

constexpr std::uint32_t kMinIo = 1024;
constexpr std::uint32_t kSmallIo = 4096;
constexpr std::uint32_t kMaxIo = 1u << 20;

void check_caller(const MountOptions& options, std::vector<std::string>& problems) {
    if (options.identity != IdentityMode::caller) return;
    if (!options.uid && !options.gids.empty()) {
        problems.push_back(
            "identity=caller: calls carry the groups of their process; leave out gids=, or add "
            "uid= "
            "and gid= for the mount's own calls"
        );
    }
    if (options.access == mapper::Access::strict) {
        problems.push_back(
            "identity=caller: everybody uses the mount as themselves; leave out access=strict"
        );
    }
    if (options.present == mapper::Presentation::mapped) {
        problems.push_back(
            "identity=caller: ids are shown as the server has them; leave out present=mapped"
        );
    }
}

void check_root(const MountOptions& options, std::vector<std::string>& problems) {
    if (options.allow_root_identity == Switch::on) return;
    const auto refuse = [&](std::string_view option, std::string_view what) {
        problems.push_back(fmt::format(
            "{}: {} is root on the server; use another or allow_root_identity", option, what
        ));
    };
    if (options.uid == 0u) refuse("uid=0", "user 0");
    if (options.gid == 0u) refuse("gid=0", "group 0");
    if (std::find(options.gids.begin(), options.gids.end(), 0u) != options.gids.end()) {
        refuse("gids=", "group 0 in the list");
    }
}

void check_groups(const MountOptions& options, std::vector<std::string>& problems) {
    constexpr auto kMax = mapper::Credential::kMaxGroups;
    if (options.gids.size() <= kMax) return;
    const auto first = options.gids.begin() + kMax;
    // A long list is cut in the message: the first ones show where the limit is.
    const auto last = first + std::min<std::ptrdiff_t>(options.gids.end() - first, 8);
    problems.push_back(fmt::format(
        "gids=: {} groups, but AUTH_SYS carries {}: no room for {}{}; leave out those that the "
        "share does not need",
        options.gids.size(),
        kMax,
        fmt::join(first, last, ", "),
        last == options.gids.end() ? "" : " and more"
    ));
}

void check_timers(
    std::string_view kind, std::uint32_t min, std::uint32_t max, std::vector<std::string>& problems
) {
    if (min <= max) return;
    problems.push_back(fmt::format(
        "ac{0}min={1}: above ac{0}max={2}; set both, the smaller one first", kind, min, max
    ));
}

void round_io(std::string_view name, std::uint32_t& bytes, std::vector<std::string>& warnings) {
    if (bytes == 0) return;
    const auto wanted = bytes;
    bytes = wanted < kMinIo ? kSmallIo : std::min(wanted / kMinIo * kMinIo, kMaxIo);
    if (bytes != wanted) {
        warnings.push_back(fmt::format(
            "{}={} is used as {} (a multiple of 1024, at most {})", name, wanted, bytes, kMaxIo
        ));
    }
}

}  // namespace

std::string find_missing_identity(const MountOptions& options) {
    if (!options.uid && !options.gid) {
        if (options.identity == IdentityMode::caller) return {};
        return "no identity without uid= and gid=; say who this mount is on the server";
    }
    if (!options.gid) return fmt::format("uid={} without gid; add gid=N", options.uid.value_or(0));
    if (!options.uid) return fmt::format("gid={} without uid; add uid=N", options.gid.value_or(0));
    return {};
}

std::vector<std::string> find_contradictions(const MountOptions& options) {
    std::vector<std::string> problems;
    check_caller(options, problems);
    check_root(options, problems);
    check_groups(options, problems);
    if (options.attribute_cache == Switch::on) {
        check_timers("reg", options.acregmin, options.acregmax, problems);
        check_timers("dir", options.acdirmin, options.acdirmax, problems);
    }
    return problems;
}

void settle(MountOptions& options, std::vector<std::string>& warnings) {
    round_io("rsize", options.rsize, warnings);
    round_io("wsize", options.wsize, warnings);
    if (options.attribute_cache == Switch::off) {
        options.acregmin = options.acregmax = options.acdirmin = options.acdirmax = 0;
        options.sync = Switch::on;
    }
}

}  // namespace uidnfs::config
