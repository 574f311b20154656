// SPDX-License-Identifier: Apache-2.0
#include "app/status_report.hpp"

#include "app/names.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace uidnfs::app {
namespace {

namespace json = boost::json;

/// Shorter waits are the server's daily life.
constexpr std::uint64_t kSlowCallMs = 5000;
constexpr std::uint64_t kLeastTimeoMs = 1000;

double seconds(std::uint64_t milliseconds) { return static_cast<double>(milliseconds) / 1e3; }
double seconds_of_us(std::uint64_t microseconds) { return static_cast<double>(microseconds) / 1e6; }

json::value or_null(const std::optional<std::uint32_t>& id) {
    return id ? json::value(*id) : json::value(nullptr);
}

double seconds_of(std::chrono::nanoseconds time) {
    return std::chrono::duration<double>(time).count();
}

json::object describe(const fs::SyncChoice& choice) {
    using Way = fs::SyncChoice::Way;
    return {
        {"way", choice.preferred() == Way::file_sync ? "file_sync" : "commit"},
        {"file_sync", seconds_of(choice.mean(Way::file_sync))},
        {"commit", seconds_of(choice.mean(Way::commit))}};
}

/// One counter of the operations and calls: what happened how often, and how long it took.
json::object latency(
    std::uint64_t count, std::uint64_t errors, std::uint64_t total_us, std::uint64_t max_us
) {
    return {
        {"count", count},
        {"errors", errors},
        {"total_seconds", seconds_of_us(total_us)},
        {"max_seconds", seconds_of_us(max_us)},
    };
}

}  // namespace

std::string_view to_string(State state) noexcept {
    switch (state) {
        case State::healthy: return "healthy";
        case State::degraded: return "degraded";
        case State::stale: return "stale";
        case State::failed: return "failed";
        case State::unknown: return "unknown";
    }
    return "failed";
}

Health judge(const nfs::ClientStatus& client, std::uint32_t timeo) {
    const auto oldest = client.oldest_call_age_ms;
    const auto patience = std::max(std::uint64_t{timeo} * 100, kLeastTimeoMs);
    // One call that takes long while others are answered is slow, not silent.
    if (oldest >= patience && client.last_reply_age_ms >= patience) {
        return {
            State::stale,
            fmt::format(
                "server {} has not answered for {:.0f} s", client.server_address, seconds(oldest)
            )};
    }
    if (client.link == nfs::ClientStatus::Link::down) {
        return {State::degraded, fmt::format("no connection to {}", client.server_address)};
    }
    if (oldest >= kSlowCallMs) {
        return {
            State::degraded,
            fmt::format(
                "server {} is slow: a call waits for {:.0f} s",
                client.server_address,
                seconds(oldest)
            )};
    }
    return {};
}

json::object describe_unknown(std::string_view mountpoint, std::string_view source) {
    return {
        {"mountpoint", mountpoint},
        {"source", source},
        {"state", "failed"},
        {"reason", ""},
        {"uid", nullptr},
        {"gid", nullptr},
        {"gids", nullptr},
        {"identity_source", nullptr},
        {"app_uid", nullptr},
        {"app_gid", nullptr},
        {"worker_pid", nullptr},
        {"keeper_pid", nullptr},
        {"version", nullptr},
        {"keeper_version", nullptr},
        {"since", nullptr},
        {"denied", nullptr},
        {"server_address", nullptr},
        {"local_ports", nullptr},
        {"oldest_call_age", nullptr},
        {"last_reply_age", nullptr},
        {"locks", nullptr},
        {"takeover", nullptr},
        {"takeovers", nullptr},
        {"upgrades", nullptr},
        {"last_takeover", nullptr},
        {"options", nullptr},
        {"operations", nullptr},
        {"callers", nullptr},
        {"released_callers", nullptr},
        {"piped_bytes", nullptr},
        {"calls", nullptr},
        {"cache", nullptr},
        {"bytes_not_committed", nullptr},
    };
}

json::object describe_mount(const MountSpec& spec, const config::MountRequest& request) {
    auto status = describe_unknown(spec.mountpoint, request.source.display());
    const auto& options = request.options;
    const bool fixed = options.identity == config::IdentityMode::fixed;
    status["uid"] = or_null(options.uid);
    status["gid"] = or_null(options.gid);
    status["gids"] = json::array(options.gids.begin(), options.gids.end());
    if (fixed && !spec.identity_source.empty()) {
        status["identity_source"] = spec.identity_source;
    } else {
        status["identity_source"] = fixed ? "declared" : "caller";
    }
    status["app_uid"] = options.app_uid;
    status["app_gid"] = options.app_gid;
    if (spec.keeper_pid != 0) status["keeper_pid"] = spec.keeper_pid;
    status["version"] = UIDNFS_VERSION;
    if (!spec.keeper_version.empty()) status["keeper_version"] = spec.keeper_version;
    status["since"] = spec.since;
    if (!spec.denied.empty()) status["denied"] = spec.denied;
    status["locks"] = "local";
    status["takeover"] = "none";
    status["takeovers"] = spec.takeovers;
    status["upgrades"] = or_null(spec.upgrades);
    if (spec.takeovers > 0) {
        status["last_takeover"] =
            json::object{{"time", spec.takeover_time}, {"reason", spec.takeover_reason}};
    }
    json::object effective;
    for (const auto& [name, value] : request.effective) effective[name] = value;
    status["options"] = std::move(effective);
    return status;
}

void set_health(json::object& status, const Health& health) {
    status["state"] = to_string(health.state);
    status["reason"] = health.reason;
}

void add_client(json::object& status, const nfs::ClientStatus& client) {
    status["server_address"] = client.server_address;
    status["local_ports"] = json::array(client.local_ports.begin(), client.local_ports.end());
    status["oldest_call_age"] = seconds(client.oldest_call_age_ms);
    status["last_reply_age"] = seconds(client.last_reply_age_ms);
    json::object procedures;
    for (const auto& procedure : client.procedures) {
        auto entry =
            latency(procedure.calls, procedure.errors, procedure.total_us, procedure.max_us);
        entry["latency"] = json::array(procedure.latency.begin(), procedure.latency.end());
        procedures[procedure.name] = std::move(entry);
    }
    json::array bounds;
    for (const auto bound : nfs::kLatencyBoundsUs) bounds.emplace_back(seconds_of_us(bound));
    status["calls"] = json::object{
        {"in_flight", client.calls_in_flight},
        {"reconnects", client.reconnects},
        {"retransmits", client.retransmits},
        {"bytes_sent", client.bytes_sent},
        {"bytes_received", client.bytes_received},
        {"latency_bounds", std::move(bounds)},
        {"procedures", std::move(procedures)},
    };
}

void add_filesystem(json::object& status, const fs::FsStatus& filesystem) {
    status["bytes_not_committed"] = filesystem.bytes_not_committed;
    status["cache"] = json::object{
        {"inodes", filesystem.inodes},
        {"open_files", filesystem.open_files},
        {"attribute_hits", filesystem.attribute_hits},
        {"attribute_misses", filesystem.attribute_misses},
        {"lookup_hits", filesystem.lookup_hits},
        {"lookup_misses", filesystem.lookup_misses},
        {"access_hits", filesystem.access_hits},
        {"access_misses", filesystem.access_misses},
        {"read_ahead_hits", filesystem.read_ahead_hits},
        {"read_ahead_unused", filesystem.read_ahead_unused},
        {"read_ahead_bytes", filesystem.read_ahead_bytes},
        {"round_trips_saved",
         filesystem.attribute_hits + filesystem.lookup_hits + filesystem.access_hits +
             filesystem.read_ahead_hits},
        {"write_behind_budget", filesystem.write_behind_budget},
        {"write_errors", filesystem.write_errors},
        {"refused_callers", filesystem.refused_callers},
        {"small_files", describe(filesystem.small_files)},
    };
}

void add_session(json::object& status, const fuse::SessionStatus& session) {
    json::object operations;
    for (const auto& operation : session.operations) {
        operations[operation.name] =
            latency(operation.requests, operation.errors, operation.total_us, operation.max_us);
    }
    status["operations"] = std::move(operations);
    status["callers"] = session.callers == fuse::Callers::visible ? "visible" : "hidden";
    status["released_callers"] = session.released_callers;
    status["piped_bytes"] = session.piped_bytes;
}

std::optional<json::object> parse_status(std::string_view text) {
    boost::system::error_code error;
    const json::parse_options as_written{.allow_invalid_utf8 = true};
    auto status = json::parse(text, error, {}, as_written);
    if (error || !status.is_object()) return std::nullopt;
    return std::move(status.get_object());
}

std::string_view word_in(const json::object& status, std::string_view name) {
    const auto* value = status.if_contains(name);
    return value && value->is_string() ? std::string_view(value->get_string()) : "";
}

bool is_healthy(const json::object& status) { return word_in(status, "state") == "healthy"; }

}  // namespace uidnfs::app
