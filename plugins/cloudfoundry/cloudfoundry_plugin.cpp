// SPDX-License-Identifier: Apache-2.0
#include "plugins/cloudfoundry/cloudfoundry_plugin.hpp"

#include "config/text.hpp"
#include "core/log.hpp"
#include "plugins/core/driver_call.hpp"

#include <fmt/format.h>

#include <memory>
#include <utility>

namespace uidnfs::plugins::cloudfoundry {
namespace {

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kText = "text/plain; charset=utf-8";

using Reply = std::shared_ptr<http::Responder>;

void send(const Reply& reply, std::string body) { reply->send({200, kJson, std::move(body)}); }

/// What executor puts behind "failed to mount volume, errors: ".
std::string safe_error(std::string_view text) {
    if (text.empty()) return {};
    return fmt::format(R"({{"SafeDescription":{}}})", json_string(text));
}

void send_error(const Reply& reply, std::string_view text) {
    send(reply, error_body(safe_error(text)));
}

void send_result(const Reply& reply, const core::Outcome<void>& result) {
    send_error(reply, result ? std::string_view() : result.error().user_text);
}

std::string show(const VolumeInfo& info) {
    return fmt::format(
        R"({{"Name":{},"Mountpoint":{},"MountCount":{}}})",
        json_string(info.name),
        json_string(info.mountpoint),
        info.holders.size()
    );
}

}  // namespace

void CloudFoundryPlugin::handle(
    http::Request request, http::Responder responder, std::stop_token hung_up
) {
    if (request.method != "POST") {
        return responder.send({405, kText, "the driver API knows only POST\n"});
    }
    const auto reply = std::make_shared<http::Responder>(std::move(responder));
    const auto& path = request.path;
    // These two never look at anything that could wait: volman sets no time limit, and drops a
    // driver that does not answer.
    if (path == "/Plugin.Activate") {
        return send(reply, R"({"Implements":["VolumeDriver"],"Err":""})");
    }
    if (path == "/VolumeDriver.Capabilities") {
        return send(reply, R"({"Capabilities":{"Scope":"local"}})");
    }
    auto call = parse_call(request.body);
    if (!call) return send_error(reply, call.error().user_text);
    auto& volumes = deps_.volumes;
    if (path == "/VolumeDriver.List") {
        std::string list;
        for (const auto& info : volumes.list(Dialect::cloudfoundry)) {
            list += (list.empty() ? "" : ",") + show(info);
        }
        return send(reply, fmt::format(R"({{"Volumes":[{}],"Err":""}})", list));
    }
    if (path != "/VolumeDriver.Create" && path != "/VolumeDriver.Get" &&
        path != "/VolumeDriver.Mount" && path != "/VolumeDriver.Path" &&
        path != "/VolumeDriver.Unmount" && path != "/VolumeDriver.Remove") {
        return reply->send({404, kText, "the driver API has no such call\n"});
    }
    if (call->name.empty()) return send_error(reply, "Missing mandatory 'volume_name'");
    if (!is_volume_name(call->name)) {
        return send_error(reply, fmt::format("invalid volume name: {}", config::shown(call->name)));
    }
    const VolumeKey key{Dialect::cloudfoundry, call->name};
    Caller caller{std::move(hung_up), std::move(request.peer)};
    if (path == "/VolumeDriver.Create") {
        auto definition =
            make_definition(key.dialect, std::move(call->words), std::move(call->problems));
        if (definition->source.empty()) {
            return send_error(reply, "Missing mandatory 'source' field in 'Opts'");
        }
        // An error of Create is never shown to anybody: the Mount that follows tells it.
        if (const auto fine = deps_.preparer.check(key.dialect, *definition); !fine) {
            core::log::warning(
                "volume {} will not be mounted: {}", config::shown(key.name), fine.error().user_text
            );
        }
        return volumes.create(
            key,
            std::move(definition),
            std::move(caller),
            [reply](const core::Outcome<void>& done) { send_result(reply, done); }
        );
    }
    if (path == "/VolumeDriver.Mount") {
        // There is no ID: the name, which is unique per container, holds it.
        return volumes.mount(
            key,
            key.name,
            std::move(caller),
            [reply, key, &volumes](const core::Outcome<Volumes::Mounted>& done) {
                if (!done) return send_error(reply, done.error().user_text);
                auto body =
                    fmt::format(R"({{"Mountpoint":{},"Err":""}})", json_string(done->mountpoint));
                reply->send(
                    {200, kJson, std::move(body)},
                    [key, serial = done->serial, &volumes](http::Delivery delivery) {
                        if (delivery == http::Delivery::done) {
                            return volumes.delivered(key, key.name, serial);
                        }
                        volumes.take_back(key, key.name, serial);
                    }
                );
            }
        );
    }
    if (path == "/VolumeDriver.Unmount") {
        return volumes.unmount(
            key,
            key.name,
            std::move(caller),
            [reply](const core::Outcome<void>& done) { send_result(reply, done); }
        );
    }
    if (path == "/VolumeDriver.Remove") {
        return volumes.remove(key, std::move(caller), [reply](const core::Outcome<void>& done) {
            send_result(reply, done);
        });
    }
    const auto info = volumes.find(key);
    if (!info) return send_error(reply, fmt::format("Volume '{}' not found", key.name));
    if (path == "/VolumeDriver.Get") {
        return send(reply, fmt::format(R"({{"Volume":{},"Err":""}})", show(*info)));
    }
    if (info->mountpoint.empty()) return send_error(reply, "volume not previously mounted");
    send(reply, fmt::format(R"({{"Mountpoint":{},"Err":""}})", json_string(info->mountpoint)));
}

}  // namespace uidnfs::plugins::cloudfoundry
