// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/admin_routes.hpp"

#include "config/text.hpp"
#include "core/log.hpp"
#include "core/text.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <utility>

namespace uidnfs::plugins {
namespace {

namespace json = boost::json;

constexpr std::string_view kText = "text/plain; charset=utf-8";
constexpr std::string_view kJson = "application/json";
constexpr std::chrono::seconds kDrainTime{30};
constexpr std::int64_t kMaxDrainSeconds = 3600;
constexpr std::chrono::seconds kLevelTime{2};

http::Response answer(unsigned status, const json::value& body) {
    return {status, kJson, core::with_valid_utf8(json::serialize(body)) + "\n"};
}

http::Response refuse(unsigned status, std::string_view why) {
    return answer(status, json::object{{"error", why}});
}

http::Response wrong_method(std::string_view allow, const http::Request& request) {
    auto response = refuse(
        405,
        fmt::format(
            "{} does not understand {}; use {}",
            request.path,
            config::shown(request.method),
            allow.substr(0, allow.find(','))
        )
    );
    response.allow = allow;
    return response;
}

http::Response unknown_route(const http::Request& request, std::string_view known) {
    return refuse(
        404, fmt::format("there is no {}; there are {}", config::shown(request.path), known)
    );
}

bool is_get(const http::Request& request) {
    return request.method == "GET" || request.method == "HEAD";
}

/// An empty body is an empty object.
core::Outcome<json::object> parse_body(const http::Request& request) {
    if (request.body.empty()) return json::object();
    boost::system::error_code error;
    auto value = json::parse(request.body, error);
    if (!error && value.is_object()) return std::move(value.get_object());
    return core::Failure{
        EINVAL, fmt::format("the body of {} is no JSON object", config::shown(request.path))};
}

/// The string `name` of a request, which must be there.
core::Outcome<std::string> word(const json::object& body, std::string_view name) {
    const auto* value = body.if_contains(name);
    if (value && value->is_string()) return std::string(value->get_string());
    return core::Failure{
        EINVAL,
        fmt::format(
            R"("{}" is missing; send {{"plugin": "docker", "volume": "NAME", "level": "debug"}})",
            name
        )};
}

json::array list_of(const std::vector<std::string>& texts) {
    return json::array(texts.begin(), texts.end());
}

/// What the worker said last, under its own names.
void add_status(json::object& entry, const json::object& status) {
    static constexpr std::array<std::string_view, 7> kNames{
        "since",
        "worker_pid",
        "keeper_pid",
        "server_address",
        "local_ports",
        "bytes_not_committed",
        "version"};
    for (const auto name : kNames) {
        if (const auto* value = status.if_contains(name)) entry[name] = *value;
    }
}

json::object describe(const VolumeKey& key, const VolumeInfo& info, const MountHealth* health) {
    json::object entry;
    add_volume(entry, key);
    entry["state"] = to_string(info.state);
    entry["health"] = health ? json::value(to_string(health->health())) : json::value(nullptr);
    entry["reason"] = health && !health->reason().empty() ? health->reason() : info.reason;
    entry["holders"] = list_of(info.holders);
    add_text(entry, "source", info.source);
    add_text(entry, "mountpoint", info.mountpoint);
    if (!info.worker) return entry;
    add_identity(entry, info.identity);
    add_text(entry, "rule", info.worker->rule);
    entry["keeper_pid"] = info.worker->id.pid;
    if (!health) return entry;
    entry["health_since"] = core::utc_time(health->since(), core::Precision::milliseconds);
    add_status(entry, health->status());
    return entry;
}

}  // namespace

void MetricsRoutes::handle(
    http::Request request, http::Responder responder, std::stop_token /*hung_up*/
) {
    if (request.path != "/metrics" && request.path != "/healthz") {
        return responder.send(unknown_route(request, "/metrics and /healthz"));
    }
    if (!is_get(request)) return responder.send(wrong_method("GET, HEAD", request));
    if (request.path == "/metrics") {
        return responder.send({200, kMetricsType, deps_.metrics.render()});
    }
    const auto healthy = deps_.healthy();
    if (!healthy) return responder.send({503, kText, healthy.error().user_text + "\n"});
    std::string text = "ok\n";
    if (!healthy->empty()) text += *healthy + "\n";
    if (drained_ == Drained::yes) text += "drained: nothing is mounted until it is started again\n";
    responder.send({200, kText, std::move(text)});
}

void record_reload(AuditLog& audit, const ReloadReport& report, std::string_view peer) {
    json::object fields;
    add_text(fields, "peer", peer);
    if (!report.problems.empty()) fields["problems"] = list_of(report.problems);
    fields["changes"] = list_of(report.changes);
    audit.reopen();
    audit.record("reload", std::move(fields));
}

void AdminRoutes::handle(
    http::Request request, http::Responder responder, std::stop_token hung_up
) {
    const auto& path = request.path;
    if (path == "/metrics" || path == "/healthz") {
        return deps_.metrics.handle(std::move(request), std::move(responder), std::move(hung_up));
    }
    if (path == "/volumes") {
        if (!is_get(request)) return responder.send(wrong_method("GET, HEAD", request));
        return responder.send({200, kJson, list_volumes()});
    }
    if (path != "/drain" && path != "/reload" && path != "/log_level") {
        return responder.send(
            unknown_route(request, "/metrics, /healthz, /volumes, /drain, /reload and /log_level")
        );
    }
    if (request.method != "POST") return responder.send(wrong_method("POST", request));
    const auto reply = std::make_shared<http::Responder>(std::move(responder));
    if (path == "/drain") return drain(request, reply);
    if (path == "/reload") return reload(request, reply);
    log_level(request, reply);
}

std::string AdminRoutes::list_volumes() const {
    json::array list;
    for (const auto dialect : {Dialect::docker, Dialect::cloudfoundry}) {
        for (const auto& info : deps_.volumes.list(dialect)) {
            const VolumeKey key{dialect, info.name};
            list.push_back(describe(key, info, deps_.health.find(key)));
        }
    }
    return core::with_valid_utf8(json::serialize(list)) + "\n";
}

void AdminRoutes::drain(const http::Request& request, Reply reply) {
    const auto body = parse_body(request);
    if (!body) return reply->send(refuse(400, body.error().user_text));
    auto time = kDrainTime;
    for (const auto& item : *body) {
        if (item.key() == "deadline_seconds") continue;
        return reply->send(refuse(
            400,
            fmt::format(
                "\"{}\" is unknown; send {{\"deadline_seconds\": {}}}",
                core::printable(std::string_view(item.key())),
                kDrainTime.count()
            )
        ));
    }
    if (const auto* value = body->if_contains("deadline_seconds")) {
        boost::system::error_code error;
        const auto seconds = value->to_number<std::int64_t>(error);
        if (error || seconds < 1 || seconds > kMaxDrainSeconds) {
            return reply->send(refuse(
                400, fmt::format("\"deadline_seconds\" is a number from 1 to {}", kMaxDrainSeconds)
            ));
        }
        time = std::chrono::seconds(seconds);
    }
    core::log::info("drain: every volume is unmounted within {} s", time.count());
    deps_.audit.record("drain", {{"peer", request.peer}, {"deadline_seconds", time.count()}});
    deps_.metrics.drained();
    deps_.volumes.drain(
        std::chrono::steady_clock::now() + time,
        [reply, &audit = deps_.audit](const std::vector<std::string>& left) {
            for (const auto& one : left) core::log::error("drain: not unmounted: {}", one);
            if (left.empty()) core::log::info("drain: every volume is unmounted");
            audit.record("drain ended", {{"left", list_of(left)}});
            reply->send(answer(
                left.empty() ? 200 : 409,
                json::object{{"drained", left.empty()}, {"left", list_of(left)}}
            ));
        }
    );
}

void AdminRoutes::reload(const http::Request& request, const Reply& reply) {
    const auto report = deps_.reload(request.peer);
    reply->send(answer(
        report.problems.empty() ? 200 : 409,
        json::object{
            {"reloaded", report.problems.empty()},
            {"problems", list_of(report.problems)},
            {"warnings", list_of(report.warnings)},
            {"changes", list_of(report.changes)}}
    ));
}

void AdminRoutes::log_level(const http::Request& request, const Reply& reply) {
    const auto body = parse_body(request);
    if (!body) return reply->send(refuse(400, body.error().user_text));
    const auto plugin = word(*body, "plugin");
    if (!plugin) return reply->send(refuse(400, plugin.error().user_text));
    const auto volume = word(*body, "volume");
    if (!volume) return reply->send(refuse(400, volume.error().user_text));
    const auto level = word(*body, "level");
    if (!level) return reply->send(refuse(400, level.error().user_text));
    const auto dialect = parse_dialect(*plugin);
    if (!dialect) {
        return reply->send(refuse(
            400,
            fmt::format(
                "there is no plugin {}; there are docker and cloudfoundry", config::shown(*plugin)
            )
        ));
    }
    auto known = core::log::Level::info;
    if (!core::log::parse_level(*level, known)) {
        return reply->send(refuse(
            400,
            fmt::format(
                "there is no log level {}; there are trace, debug, info, warning, error and off",
                config::shown(*level)
            )
        ));
    }
    const VolumeKey key{*dialect, *volume};
    const auto info = deps_.volumes.find(key);
    if (!info) {
        return reply->send(refuse(404, fmt::format("there is no volume {}", config::shown(*volume)))
        );
    }
    if (!info->worker) {
        return reply->send(refuse(
            409,
            fmt::format(
                "volume {} is {}, not mounted", config::shown(*volume), to_string(info->state)
            )
        ));
    }
    core::spawn(set_log_level(key, *info->worker, *level, reply));
}

core::Task<> AdminRoutes::set_log_level(
    VolumeKey volume, Worker worker, std::string level, Reply reply
) {
    auto setting = deps_.inspector.set_log_level(
        volume, worker, level, std::chrono::steady_clock::now() + kLevelTime
    );
    const auto done = co_await setting;
    if (!done) {
        reply->send(refuse(502, done.error().user_text));
        co_return;
    }
    core::log::info("volume {}: its log level is {}", volume.name, level);
    reply->send(answer(200, json::object{{"level", level}}));
}

}  // namespace uidnfs::plugins
