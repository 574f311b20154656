// SPDX-License-Identifier: Apache-2.0
#include "app/remount.hpp"

#include "app/names.hpp"
#include "config/option_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace uidnfs::app {
namespace {

constexpr std::string_view kRemount = "remount";
constexpr std::array<std::string_view, 9> kKernelWords{
    "user_id",
    "group_id",
    "allow_other",
    "default_permissions",
    "max_read",
    "blksize",
    "rootmode",
    "fd",
    "seclabel"};

std::string shown(const std::optional<std::string>& value) {
    if (!value) return "unset";
    return value->empty() ? "set" : printable(*value);
}

}  // namespace

bool asks_remount(const std::vector<config::RawOption>& options) {
    return std::any_of(options.begin(), options.end(), [](const config::RawOption& option) {
        return option.name == kRemount;
    });
}

std::vector<config::RawOption> remount_options(const std::vector<config::RawOption>& options) {
    std::vector<config::RawOption> kept;
    for (const auto& option : options) {
        const bool is_kernels =
            std::find(kKernelWords.begin(), kKernelWords.end(), option.name) != kKernelWords.end();
        if (option.name != kRemount && !is_kernels) kept.push_back(option);
    }
    return kept;
}

core::Outcome<Remount> plan_remount(
    const MountSpec& spec,
    const config::MountRequest& live,
    std::string_view source,
    const std::vector<config::RawOption>& asked
) {
    Remount plan;
    plan.options = spec.options;
    plan.options.insert(plan.options.end(), asked.begin(), asked.end());
    // Whoever asked says what could not be done.
    auto parsed = config::parse_mount_request(spec.source, plan.options, {});
    if (!parsed) return parsed.error();
    plan.request = std::move(*parsed);

    std::vector<std::string> fixed;
    if (source != spec.source && source != live.source.display()) {
        fixed.push_back(
            fmt::format("the source ({}, asked for {})", live.source.display(), printable(source))
        );
    }
    for (const auto& option : config::option_table()) {
        const auto before = option.show(live.options);
        const auto after = option.show(plan.request.options);
        if (before == after) continue;
        if (option.live == config::Live::changes) {
            if (after) plan.changed.emplace_back(option.name);
        } else if (after || option.value.kind != config::Kind::flag) {
            // A flag that goes is one that another takes the place of: that one is named.
            fixed.push_back(
                fmt::format("{} ({}, asked for {})", option.name, shown(before), shown(after))
            );
        }
    }
    if (!fixed.empty()) {
        return core::Failure{
            EBUSY,
            fmt::format(
                "cannot be changed while it is mounted: {}; unmount it and mount it again",
                fmt::join(fixed, ", ")
            )};
    }
    return plan;
}

}  // namespace uidnfs::app
