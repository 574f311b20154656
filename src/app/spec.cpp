// SPDX-License-Identifier: Apache-2.0
#include "app/spec.hpp"

#include <algorithm>
#include <cerrno>

namespace uidnfs::app {
namespace {

constexpr std::uint64_t kVersion = 1;

std::optional<std::uint32_t> small_number(const Message& message, std::string_view name) {
    const auto value = message.number(name);
    if (!value || *value > 0xffff'ffff) return std::nullopt;
    return static_cast<std::uint32_t>(*value);
}

std::string_view to_string(Way way) noexcept {
    switch (way) {
        case Way::detached: return "detached";
        case Way::inherited: return "inherited";
        case Way::fusermount: return "fusermount";
    }
    return "detached";
}

std::optional<Way> parse_way(std::string_view text) noexcept {
    for (const auto way : {Way::detached, Way::inherited, Way::fusermount}) {
        if (text == to_string(way)) return way;
    }
    return std::nullopt;
}

}  // namespace

std::string write_option(const config::RawOption& option) {
    return option.value ? option.name + '=' + *option.value : option.name;
}

config::RawOption read_option(std::string_view text) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) return {std::string(text), std::nullopt, "the mount"};
    return {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)), "the mount"};
}

std::uint64_t MountSpec::write_behind(const config::MountOptions& of_mount) const noexcept {
    const auto wanted = of_mount.write_behind;
    return write_behind_limit == 0 ? wanted : std::min(wanted, write_behind_limit);
}

Message MountSpec::encode(std::string_view verb) const {
    Message message{std::string(verb)};
    message.add("version", kVersion).add("source", source).add("mountpoint", mountpoint);
    message.add("stay", stay == Stay::foreground ? "foreground" : "background");
    message.add("way", std::string(to_string(way)));
    message.add("since", since).add("keeper_pid", keeper_pid);
    message.add("worker_memory", worker_memory).add("worker_group", worker_group);
    message.add("write_behind_limit", write_behind_limit);
    if (!identity_source.empty()) message.add("identity_source", identity_source);
    if (!recovery.empty()) message.add("recovery", recovery);
    if (!keeper_version.empty()) message.add("keeper_version", keeper_version);
    if (!first_keeper.empty()) message.add("first_keeper", first_keeper);
    if (keepers != 0) message.add("keepers", keepers);
    if (upgrades) message.add("upgrades", *upgrades);
    if (takeovers != 0) {
        message.add("takeovers", takeovers).add("takeover_time", takeover_time);
        message.add("takeover_reason", takeover_reason);
        if (last_death == fuse::InFlight::Death::killed) message.add("killed", "yes");
    }
    if (!denied.empty()) message.add("denied", denied);
    if (worker_user) {
        message.add("worker_uid", worker_user->uid).add("worker_gid", worker_user->gid);
    }
    for (const auto& option : options) message.add("option", write_option(option));
    return message;
}

core::Result<MountSpec> MountSpec::decode(const Message& message) {
    const auto& verb = message.verb();
    const bool is_spec = verb == kVerb || verb == kSuccessorVerb || verb == kAdoptVerb;
    if (!is_spec || message.number("version") != kVersion) {
        return core::Error(EPROTO);
    }
    MountSpec spec;
    spec.source = message.text("source");
    spec.mountpoint = message.text("mountpoint");
    spec.since = message.text("since");
    if (spec.source.empty() || spec.mountpoint.empty()) return core::Error(EPROTO);
    spec.keeper_pid = small_number(message, "keeper_pid").value_or(0);
    spec.worker_memory = message.number("worker_memory").value_or(0);
    spec.recovery = message.text("recovery");
    spec.worker_group = message.text("worker_group");
    spec.identity_source = message.text("identity_source");
    spec.write_behind_limit = message.number("write_behind_limit").value_or(0);
    spec.takeovers = small_number(message, "takeovers").value_or(0);
    spec.upgrades = small_number(message, "upgrades");
    spec.takeover_time = message.text("takeover_time");
    spec.takeover_reason = message.text("takeover_reason");
    if (message.text("killed") == "yes") spec.last_death = fuse::InFlight::Death::killed;
    spec.denied = message.text("denied");
    spec.first_keeper = message.text("first_keeper");
    spec.keepers = small_number(message, "keepers").value_or(0);
    spec.keeper_version = message.text("keeper_version");
    const auto stay = message.text("stay");
    if (stay != "foreground" && stay != "background") return core::Error(EPROTO);
    spec.stay = stay == "foreground" ? Stay::foreground : Stay::background;
    const auto way = parse_way(message.text("way"));
    if (!way) return core::Error(EPROTO);
    spec.way = *way;
    if (!message.text("worker_uid").empty()) {
        const auto uid = small_number(message, "worker_uid");
        const auto gid = small_number(message, "worker_gid");
        if (!uid || !gid) return core::Error(EPROTO);
        spec.worker_user = ServiceUser{*uid, *gid};
    }
    for (const auto& option : message.all("option")) spec.options.push_back(read_option(option));
    return spec;
}

}  // namespace uidnfs::app
