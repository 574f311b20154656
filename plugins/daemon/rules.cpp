// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/rules.hpp"

#include <chrono>

namespace uidnfs::plugins {
namespace {

void append(std::vector<config::RawOption>& onto, const OptionSettings& settings) {
    for (const auto& setting : settings) {
        if (setting.option) onto.push_back(*setting.option);
    }
}

OptionRules::Identity identity_of(policy::RequiredIdentity identity) {
    switch (identity) {
        case policy::RequiredIdentity::declared: return OptionRules::Identity::declared;
        case policy::RequiredIdentity::ldap: return OptionRules::Identity::directory;
        case policy::RequiredIdentity::either: return OptionRules::Identity::either;
    }
    return OptionRules::Identity::declared;
}

}  // namespace

OptionRules rules_of(const Settings& settings) {
    OptionRules rules;
    append(rules.defaults, settings.mounts.defaults);
    append(rules.fixed, settings.mounts.fixed);
    append(rules.forced, settings.mounts.forced);
    rules.allowed_options = settings.mounts.allowed_options;
    rules.identity = identity_of(settings.policy.identity);
    if (settings.policy.root_identity == policy::RootIdentity::by_rule) {
        rules.allow_root_identity = config::Switch::on;
    }
    if (const auto& cloudfoundry = settings.cloudfoundry) {
        if (cloudfoundry->unknown_options == UnknownOptions::refuse) {
            rules.cloudfoundry_unknown = OptionRules::Unknown::refuse;
        }
        if (cloudfoundry->force_version) {
            rules.cloudfoundry_version4 = OptionRules::Version4::serve_as_3;
        }
    }
    return rules;
}

Volumes::Limits limits_of(const Settings& settings) {
    Volumes::Limits limits;
    limits.mount = std::chrono::seconds(settings.mounts.deadline_seconds);
    return limits;
}

cloudfoundry::Endpoint endpoint_of(const CloudFoundrySettings& settings) {
    using Insecure = cloudfoundry::Endpoint::Insecure;
    return {
        .listen = settings.listen,
        .driver_name = settings.driver_name,
        .drivers_path = settings.drivers_path,
        .ca_file = settings.tls.ca_file,
        .cert_file = settings.tls.cert_file,
        .key_file = settings.tls.key_file,
        .client_cert_file = settings.tls.client_cert_file,
        .client_key_file = settings.tls.client_key_file,
        .insecure = settings.insecure ? Insecure::accepted : Insecure::refused};
}

mounter::Allowed allowed_of(const Settings& settings) {
    mounter::Allowed allowed;
    allowed.policy = settings.policy;
    append(allowed.defaults, settings.mounts.defaults);
    append(allowed.imposed, settings.mounts.fixed);
    append(allowed.imposed, settings.mounts.forced);
    allowed.callers = settings.mounts.allowed_options;
    allowed.max_mounts = settings.workers.max_mounts;
    allowed.write_behind_total = settings.workers.write_behind_total;
    return allowed;
}

}  // namespace uidnfs::plugins
