// SPDX-License-Identifier: Apache-2.0
#include "plugins/mounter/mount_check.hpp"

#include "config/option_table.hpp"
#include "config/source.hpp"
#include "config/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace uidnfs::plugins::mounter {
namespace {

/// Volumes have these by their platform; nobody chooses them.
constexpr std::array<std::string_view, 3> kFixed{"access=any", "actimeo=0", "copyup"};

std::string spelled(const config::RawOption& option) {
    return option.value ? option.name + "=" + *option.value : option.name;
}

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

bool is_operators(const config::RawOption& option, const Allowed& allowed) {
    const auto word = spelled(option);
    if (std::find(kFixed.begin(), kFixed.end(), word) != kFixed.end()) return true;
    if (word == "allow_root_identity") {
        return allowed.policy.root_identity == policy::RootIdentity::by_rule;
    }
    return std::any_of(
        allowed.operators.begin(),
        allowed.operators.end(),
        [&](const config::RawOption& each) { return spelled(each) == word; }
    );
}

core::Failure refuse(const std::string& why) {
    return {EPERM, "the mounter refuses this mount: " + why};
}

}  // namespace

core::Outcome<Checked> check_request(const Request& request, const Allowed& allowed) {
    if (!is_directory_name(request.directory.view())) return refuse("no name of a directory");
    if (request.plugin > static_cast<std::uint32_t>(policy::Plugin::cloudfoundry)) {
        return refuse("an unknown plugin");
    }
    const std::string source(request.source.view());
    // Options of a URL would come past the table's column P.
    const auto parsed = config::parse_source(source);
    if (!parsed || !parsed->options.empty() || source.starts_with("nfs:")) {
        return refuse("the source is not server:/export");
    }
    Checked mount;
    mount.options = split(request.options.view());
    for (const auto& option : mount.options) {
        const auto* known = config::find_option(option.name);
        const bool is_callers = known && known->set_by == config::SetBy::callers;
        if (!is_callers && !is_operators(option, allowed)) {
            return refuse(fmt::format(
                "option {} is neither the caller's to set nor in the configuration",
                config::shown(option.name, 40)
            ));
        }
    }
    const auto wanted = config::parse_mount_request(source, mount.options);
    if (!wanted) return wanted.error();
    const auto& options = wanted->options;
    if (options.identity != config::IdentityMode::fixed || !options.uid || !options.gid) {
        return refuse("it has no identity");
    }
    mount.source = wanted->source;
    mount.plugin = static_cast<policy::Plugin>(request.plugin);
    mount.identity_source =
        request.from_ldap != 0 ? policy::IdentitySource::ldap : policy::IdentitySource::declared;
    mount.uid = *options.uid;
    mount.gid = *options.gid;
    mount.gids = options.gids;
    mount.port = options.port;
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
