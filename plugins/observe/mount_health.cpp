// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/mount_health.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <utility>

namespace uidnfs::plugins {
namespace {

namespace json = boost::json;

constexpr auto kPeriod = std::chrono::seconds(30);
constexpr auto kPeriodOfTrouble = std::chrono::seconds(5);
constexpr std::array kAll{Health::healthy, Health::degraded, Health::stale, Health::failed};

struct Judged {
    Health health;
    std::string reason;
};

std::string text_of(const json::object& status, std::string_view name) {
    const auto* value = status.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

Judged judge_status(const json::object& status) {
    const auto word = text_of(status, "state");
    for (const auto health : kAll) {
        if (to_string(health) == word) return {health, text_of(status, "reason")};
    }
    return {Health::degraded, "its worker speaks another version of the status"};
}

}  // namespace

std::string_view to_string(Health health) noexcept {
    switch (health) {
        case Health::healthy: return "healthy";
        case Health::degraded: return "degraded";
        case Health::stale: return "stale";
        case Health::failed: return "failed";
    }
    return "failed";
}

MountHealth::Step MountHealth::take(const core::Outcome<std::string>& answer, WallTime now) {
    Judged judged;
    fresh_ = Fresh::no;
    if (answer) {
        silences_ = 0;
        boost::system::error_code error;
        const json::parse_options as_written{.allow_invalid_utf8 = true};
        auto value = json::parse(*answer, error, {}, as_written);
        if (!error && value.is_object()) {
            status_ = std::move(value.get_object());
            judged = judge_status(status_);
            fresh_ = Fresh::yes;
        } else {
            judged = {Health::degraded, "its worker answers with what is no status"};
        }
    } else if (answer.error().code == ESRCH) {
        judged = {Health::failed, answer.error().user_text};
    } else {
        judged.health = ++silences_ > 1 ? Health::stale : Health::degraded;
        judged.reason = fmt::format("its worker does not answer: {}", answer.error().user_text);
    }
    reason_ = std::move(judged.reason);
    if (judged.health == health_) return Step::same;
    health_ = judged.health;
    since_ = now;
    return Step::changed;
}

void MountHealth::drop_details() {
    for (const auto* name : {"operations", "calls", "cache", "options", "connections"})
        status_.erase(name);
}

core::SteadyDuration pause_after(Health health) {
    return health == Health::healthy ? kPeriod : kPeriodOfTrouble;
}

core::SteadyDuration first_pause(std::size_t phase) {
    constexpr std::size_t kSteps = 1000;
    const auto steps = kSteps + phase % kSteps;
    return core::SteadyDuration(kPeriod) / (2 * kSteps) * static_cast<std::int64_t>(steps);
}

}  // namespace uidnfs::plugins
