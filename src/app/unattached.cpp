// SPDX-License-Identifier: Apache-2.0
#include "app/unattached.hpp"

#include "app/status_report.hpp"

#include <chrono>

namespace uidnfs::app {
namespace {

constexpr std::chrono::seconds kAnswer{1};

}  // namespace

std::optional<Unattached> find_unattached(
    const std::vector<MountEntry>& mounts, const std::string& path
) {
    for (const auto& keeper : all_keepers()) {
        if (!find_by_minor(mounts, keeper.minor).empty()) continue;
        const auto until = std::chrono::steady_clock::now() + kAnswer;
        const auto reply = ask_keeper(keeper, Message("status"), until);
        if (!reply) continue;
        const auto status = parse_status(reply->text("json"));
        if (!status || word_in(*status, "mountpoint") != path) continue;
        return Unattached{
            keeper, std::string(word_in(*status, "source")), std::string(reply->text("phase"))};
    }
    return std::nullopt;
}

}  // namespace uidnfs::app
