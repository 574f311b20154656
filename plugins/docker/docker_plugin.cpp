// SPDX-License-Identifier: Apache-2.0
#include "plugins/docker/docker_plugin.hpp"

#include "config/text.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "plugins/core/driver_call.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>

namespace uidnfs::plugins::docker {
namespace {

constexpr std::string_view kJson = "application/vnd.docker.plugins.v1.2+json";
constexpr std::string_view kText = "text/plain; charset=utf-8";

using Reply = std::shared_ptr<http::Responder>;

void send(const Reply& reply, std::string body) { reply->send({200, kJson, std::move(body)}); }

void send_result(const Reply& reply, const core::Outcome<void>& result) {
    send(reply, error_body(result ? std::string_view() : result.error().user_text));
}

std::string show(const VolumeInfo& info) {
    // Docker parses it: where it is not known it must not be there.
    const auto created =
        info.created ? fmt::format(R"("CreatedAt":"{}",)", core::utc_time(*info.created)) : "";
    return fmt::format(
        R"({{"Name":{},"Mountpoint":{},{}"Status":{{"state":{},"reason":{},"source":{},"holders":{}}}}})",
        json_string(info.name),
        json_string(info.mountpoint),
        created,
        json_string(to_string(info.state)),
        json_string(info.reason),
        json_string(info.source),
        info.holders.size()
    );
}

}  // namespace

void DockerPlugin::handle(
    http::Request request, http::Responder responder, std::stop_token hung_up
) {
    if (request.method != "POST") {
        return responder.send({405, kText, "the plugin API knows only POST\n"});
    }
    const auto reply = std::make_shared<http::Responder>(std::move(responder));
    const auto& path = request.path;
    // These two never look at anything that could wait.
    if (path == "/Plugin.Activate") return send(reply, R"({"Implements":["VolumeDriver"]})");
    if (path == "/VolumeDriver.Capabilities") {
        return send(reply, R"({"Capabilities":{"Scope":"local"}})");
    }
    auto call = parse_call(request.body);
    if (!call) return send(reply, error_body(call.error().user_text));
    auto& volumes = deps_.volumes;
    if (path == "/VolumeDriver.List") {
        std::string list;
        for (const auto& info : volumes.list(Dialect::docker)) {
            list += (list.empty() ? "" : ",") + show(info);
        }
        return send(reply, fmt::format(R"({{"Volumes":[{}],"Err":""}})", list));
    }
    if (path != "/VolumeDriver.Create" && path != "/VolumeDriver.Get" &&
        path != "/VolumeDriver.Mount" && path != "/VolumeDriver.Path" &&
        path != "/VolumeDriver.Unmount" && path != "/VolumeDriver.Remove") {
        return reply->send({404, kText, "the plugin API has no such call\n"});
    }
    if (call->name.empty()) return send(reply, error_body("Missing mandatory 'volume_name'"));
    if (!is_volume_name(call->name)) {
        return send(
            reply,
            error_body(fmt::format(
                "invalid volume name: {}: use 1 to 255 bytes without '/', '\\', \"..\" and control "
                "characters",
                config::shown(call->name)
            ))
        );
    }
    const VolumeKey key{Dialect::docker, call->name};
    Caller caller{std::move(hung_up), std::move(request.peer)};
    if (path == "/VolumeDriver.Create") {
        auto definition = make_definition(
            key.dialect,
            std::move(call->words),
            std::move(call->problems),
            std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())
        );
        if (const auto fine = deps_.preparer.check(key.dialect, *definition); !fine) {
            core::log::warning(
                "volume {} is not created: {}", config::shown(key.name), fine.error().user_text
            );
            return send_result(reply, fine);
        }
        return volumes.create(
            key,
            std::move(definition),
            std::move(caller),
            [reply](const core::Outcome<void>& done) { send_result(reply, done); }
        );
    }
    if (path == "/VolumeDriver.Mount") {
        return volumes.mount(
            key,
            call->id,
            std::move(caller),
            [reply, key, id = call->id, &volumes](const core::Outcome<Volumes::Mounted>& done) {
                if (!done) return send(reply, error_body(done.error().user_text));
                auto body =
                    fmt::format(R"({{"Mountpoint":{},"Err":""}})", json_string(done->mountpoint));
                reply->send(
                    {200, kJson, std::move(body)},
                    [key, id, serial = done->serial, &volumes](http::Delivery delivery) {
                        if (delivery == http::Delivery::done) {
                            return volumes.delivered(key, id, serial);
                        }
                        volumes.take_back(key, id, serial);
                    }
                );
            }
        );
    }
    if (path == "/VolumeDriver.Unmount") {
        return volumes.unmount(
            key,
            call->id,
            std::move(caller),
            [reply, name = key.name](const core::Outcome<void>& done) {
                // What Docker wants is so already: nothing is mounted for it.
                if (!done && done.error().code == ENOENT) {
                    core::log::warning("Docker unmounts {}, which is unknown", config::shown(name));
                    return send_result(reply, {});
                }
                send_result(reply, done);
            }
        );
    }
    if (path == "/VolumeDriver.Remove") {
        return volumes.remove(key, std::move(caller), [reply](const core::Outcome<void>& done) {
            send_result(reply, done);
        });
    }
    const auto info = volumes.find(key);
    if (!info) return send(reply, error_body(fmt::format("Volume '{}' not found", key.name)));
    if (path == "/VolumeDriver.Get") {
        return send(reply, fmt::format(R"({{"Volume":{},"Err":""}})", show(*info)));
    }
    send(reply, fmt::format(R"({{"Mountpoint":{},"Err":""}})", json_string(info->mountpoint)));
}

}  // namespace uidnfs::plugins::docker
