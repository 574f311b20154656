// SPDX-License-Identifier: Apache-2.0
#include "app/unattached.hpp"

#include <boost/json.hpp>

#include <chrono>
#include <string_view>

namespace uidnfs::app {
namespace {

constexpr std::chrono::seconds kAnswer{1};

std::string_view word(const boost::json::object& status, std::string_view name) {
    const auto* value = status.if_contains(name);
    return value && value->is_string() ? std::string_view(value->get_string()) : "";
}

}  // namespace

std::optional<Unattached> find_unattached(
    const std::vector<MountEntry>& mounts, const std::string& path
) {
    for (const auto& keeper : all_keepers()) {
        if (!find_by_minor(mounts, keeper.minor).empty()) continue;
        const auto until = std::chrono::steady_clock::now() + kAnswer;
        const auto reply = ask_keeper(keeper, Message("status"), until);
        if (!reply) continue;
        boost::system::error_code error;
        const auto status = boost::json::parse(std::string(reply->text("json")), error);
        const auto* object = status.if_object();
        if (error || !object || word(*object, "mountpoint") != path) continue;
        return Unattached{
            keeper, std::string(word(*object, "source")), std::string(reply->text("phase"))};
    }
    return std::nullopt;
}

}  // namespace uidnfs::app
