// SPDX-License-Identifier: Apache-2.0
#include "plugins/mounter/mount_check.hpp"

#include "config/option_table.hpp"
#include "config/source.hpp"
#include "config/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace uidnfs::plugins::mounter {
namespace {

std::vector<config::RawOption> split(std::string_view words) {
    std::vector<config::RawOption> options;
    while (!words.empty()) {
        const auto word = words.substr(0, words.find('\0'));
        words.remove_prefix(std::min(word.size() + 1, words.size()));
        const auto equals = word.find('=');
        config::RawOption option{std::string(word.substr(0, equals)), {}, "the volume"};
        if (equals != std::string_view::npos) option.value = std::string(word.substr(equals + 1));
        options.push_back(std::move(option));
    }
    return options;
}

void apply(const std::vector<config::RawOption>& options, config::MountOptions& onto) {
    for (const auto& raw : options) {
        const auto* option = config::find_option(raw.name);
        if (!option || !option->apply) continue;
        if (const auto value = config::parse_value(option->name, option->value, raw.value)) {
            option->apply(onto, *value);
        }
    }
}

/// What every volume has when its caller says nothing.
config::MountOptions options_of(const Allowed& allowed) {
    config::MountOptions options;
    apply({{"access", "any", {}}}, options);
    if (allowed.policy.root_identity == policy::RootIdentity::by_rule) {
        apply({{"allow_root_identity", {}, {}}}, options);
    }
    apply(allowed.defaults, options);
    apply(allowed.imposed, options);
    return options;
}

bool is_imposed(const config::OptionSpec& option, const Allowed& allowed) {
    return std::any_of(allowed.imposed.begin(), allowed.imposed.end(), [&](const auto& raw) {
        return config::find_option(raw.name) == &option;
    });
}

bool is_callers(const config::OptionSpec& option, const Allowed& allowed) {
    if (option.set_by != config::SetBy::callers) return false;
    const auto& listed = allowed.callers;
    if (listed.empty()) return true;
    const auto has = [&](std::string_view name) {
        return std::find(listed.begin(), listed.end(), name) != listed.end();
    };
    return has(option.name) || std::any_of(option.aliases.begin(), option.aliases.end(), has);
}

bool is_identity(std::string_view name) { return name == "uid" || name == "gid" || name == "gids"; }

/// "cache=false" of Cloud Foundry: attributes that are never believed do nobody harm.
bool is_attribute_period(std::string_view name) {
    return name == "acregmin" || name == "acregmax" || name == "acdirmin" || name == "acdirmax";
}

/// Whether `option` may be as it is in `wanted`.
bool is_fine(
    const config::OptionSpec& option,
    const config::MountOptions& wanted,
    const config::MountOptions& operators,
    const Allowed& allowed
) {
    const auto value = option.show(wanted);
    if (value == option.show(operators)) return true;
    if (is_imposed(option, allowed)) return false;
    if (is_attribute_period(option.name)) return value == "0";
    // Docker's volumes have it by their platform.
    if (option.name == "copyup" || option.name == "nocopyup") return true;
    // The policy's matter; the directory's identities are no option of a caller.
    if (is_identity(option.name)) return true;
    // Of ro and rw, sync and async, what counts is the one that holds now.
    const bool is_flag = option.value.kind == config::Kind::flag;
    if (is_flag && !value && option.set_by == config::SetBy::callers) return true;
    if (!is_callers(option, allowed)) return false;
    return option.name != "write_behind" || wanted.write_behind <= operators.write_behind;
}

core::Failure refuse(const std::string& why) {
    return {EPERM, "the mounter refuses this mount: " + why};
}

/// As `uidnfs mount` takes them.
std::vector<config::RawOption> canonical(const config::MountRequest& request) {
    std::vector<config::RawOption> options;
    for (const auto& [name, value] : request.effective) {
        const auto* option = config::find_option(name);
        config::RawOption raw{name, value, "the volume"};
        if (option && option->value.kind == config::Kind::flag) raw.value.reset();
        options.push_back(std::move(raw));
    }
    return options;
}

}  // namespace

core::Outcome<Checked> check_request(const Request& request, const Allowed& allowed) {
    if (!is_directory_name(request.directory.view())) return refuse("no name of a directory");
    if (request.plugin > static_cast<std::uint32_t>(policy::Plugin::cloudfoundry)) {
        return refuse("an unknown plugin");
    }
    const std::string source(request.source.view());
    // Options of a URL would come past column P of the table.
    const auto parsed = config::parse_source(source);
    if (!parsed || !parsed->options.empty() || source.find("://") != std::string::npos) {
        return refuse("the source is not server:/export");
    }
    const auto words = split(request.options.view());
    for (const auto& word : words) {
        if (config::find_option(word.name)) continue;
        return refuse(fmt::format("option {} is unknown", config::shown(word.name, 40)));
    }
    const auto wanted = config::parse_mount_request(source, words);
    if (!wanted) return wanted.error();
    const auto operators = options_of(allowed);
    config::MountOptions said;
    apply(words, said);
    for (const auto& option : config::option_table()) {
        if (is_fine(option, said, operators, allowed)) continue;
        return refuse(fmt::format(
            "option {} is not the caller's to set, and another in the configuration", option.name
        ));
    }
    const auto& options = wanted->options;
    if (options.identity != config::IdentityMode::fixed || !options.uid || !options.gid) {
        return refuse("it has no identity");
    }
    Checked mount;
    mount.source = wanted->source;
    mount.options = canonical(*wanted);
    const auto again = config::parse_mount_request(mount.source.display(), mount.options);
    if (!again || again->effective != wanted->effective ||
        again->source.host != mount.source.host ||
        again->source.export_path != mount.source.export_path) {
        return refuse("what would be mounted is not what was checked");
    }
    mount.plugin = static_cast<policy::Plugin>(request.plugin);
    mount.identity_source =
        request.from_ldap != 0 ? policy::IdentitySource::ldap : policy::IdentitySource::declared;
    mount.uid = *options.uid;
    mount.gid = *options.gid;
    mount.gids = options.gids;
    mount.port = options.port;
    mount.write_behind = options.write_behind;
    return mount;
}

core::Outcome<policy::Decision> check_policy(
    const Checked& mount, const Allowed& allowed, std::span<const policy::Address> addresses
) {
    const policy::Request request{
        .plugin = mount.plugin,
        .identity_source = mount.identity_source,
        .host = mount.source.host,
        .path = mount.source.export_path,
        .addresses = addresses,
        .port = mount.port,
        .uid = mount.uid,
        .gid = mount.gid,
        .groups = mount.gids};
    auto decision = policy::decide(allowed.policy, request);
    if (decision.may_mount()) return decision;
    return core::Failure{
        EACCES,
        fmt::format(
            "{} as {}:{} is not allowed by the policy: {}",
            mount.source.display(),
            mount.uid,
            mount.gid,
            decision.text
        )};
}

}  // namespace uidnfs::plugins::mounter
