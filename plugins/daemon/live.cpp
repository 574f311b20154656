// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/live.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace uidnfs::plugins {
namespace {

/// A rule as one line, so that two of them can be compared and shown.
std::string to_line(const policy::Rule& rule) {
    std::string out = rule.name.empty() ? "" : fmt::format("{}: ", rule.name);
    for (const auto plugin : rule.plugins) out += fmt::format("{} ", to_string(plugin));
    for (const auto& source : rule.sources) out += fmt::format("{} ", source.text());
    return out + fmt::format(
                     "ports {} uids {} gids {}",
                     fmt::join(rule.ports, ","),
                     policy::to_text(rule.uids),
                     policy::to_text(rule.gids)
                 );
}

std::vector<std::string> to_lines(const policy::Policy& policy) {
    std::vector<std::string> lines;
    for (const auto& rule : policy.rules) lines.push_back(to_line(rule));
    return lines;
}

bool has(const std::vector<std::string>& lines, const std::string& line) {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
}

std::string to_text(const CloudFoundrySettings& settings) {
    const auto& tls = settings.tls;
    return fmt::format(
        "{} {} {} {} {} {} {} {} {}",
        settings.listen,
        settings.driver_name,
        settings.drivers_path,
        settings.insecure,
        tls.ca_file,
        tls.cert_file,
        tls.key_file,
        tls.client_cert_file,
        tls.client_key_file
    );
}

}  // namespace

std::vector<FixedKey> fixed_keys(const Settings& settings) {
    const auto& mounts = settings.mounts;
    const auto& workers = settings.workers;
    const auto& audit = settings.audit;
    const auto& admin = settings.admin;
    return {
        {"mounts.root", mounts.root},
        {"mounts.state_dir", mounts.state_dir},
        {"mounts.run_dir", mounts.run_dir},
        {"mounts.recovery_dir", mounts.recovery_dir},
        {"mounts.deadline_seconds", std::to_string(mounts.deadline_seconds)},
        {"workers.user", workers.user},
        {"workers.memory_limit", std::to_string(workers.memory_limit)},
        {"plugin.docker", settings.docker ? settings.docker->socket : ""},
        // unknown_options and force_version are not among them.
        {"plugin.cloudfoundry", settings.cloudfoundry ? to_text(*settings.cloudfoundry) : ""},
        {"audit.destination", audit.destination},
        {"audit.when_unwritable", audit.when_unwritable == WhenUnwritable::refuse ? "refuse" : ""},
        {"admin.socket", admin.socket},
        {"admin.metrics_listen", admin.metrics_listen},
        {"admin.metrics_per_volume", admin.metrics_per_volume ? "true" : ""}};
}

std::vector<std::string> need_restart(
    const std::vector<FixedKey>& started_with, const std::vector<FixedKey>& is
) {
    std::vector<std::string> warnings;
    for (std::size_t i = 0; i < is.size() && i < started_with.size(); ++i) {
        if (started_with[i].value == is[i].value) continue;
        warnings.push_back(fmt::format(
            "{}: changed, but the service goes on with what it was started with; restart uidnfsd "
            "(volumes stay mounted)",
            is[i].name
        ));
    }
    return warnings;
}

Live::Report Live::reload() {
    auto loaded = load_settings(path_, environment_, settings_.get(), began_as_);
    Report report;
    report.warnings = std::move(loaded.warnings);
    if (!loaded.settings) {
        report.problems = std::move(loaded.problems);
        return report;
    }
    const auto fresh = std::make_shared<const Settings>(std::move(*loaded.settings));
    auto fixed = fixed_keys(*fresh);
    for (auto& warning : need_restart(started_with_, fixed)) {
        report.warnings.push_back(std::move(warning));
    }
    if (started_with_.empty()) started_with_ = std::move(fixed);
    if (settings_) report.changes = compare(settings_->policy, fresh->policy);
    const bool stays =
        settings_ && settings_->ldap && fresh->ldap && ldap::same(*settings_->ldap, *fresh->ldap);
    if (!stays) {
        if (settings_ && (settings_->ldap || fresh->ldap)) {
            report.changes.push_back("ldap: the directory is asked anew, its cache begins empty");
        }
        // The old one first: both would keep the same cache file. Lookups under way end in an
        // error.
        directory_.reset();
    }
    settings_ = fresh;
    if (!stays && directories_ == Directories::made) open_directory();
    report.step = Step::replaced;
    return report;
}

void Live::open_directory() {
    directories_ = Directories::made;
    if (!settings_->ldap) return;
    directory_ = std::make_shared<ldap::Directory>(ldap::clone(*settings_->ldap));
}

std::vector<std::string> compare(const policy::Policy& before, const policy::Policy& after) {
    std::vector<std::string> changes;
    const auto differ = [&](std::string_view key, std::string_view was, std::string_view is) {
        if (was != is) changes.push_back(fmt::format("policy.{}: {} -> {}", key, was, is));
    };
    differ("identity", to_string(before.identity), to_string(after.identity));
    differ("mode", to_string(before.mode), to_string(after.mode));
    const auto root = [](const policy::Policy& policy) {
        return policy.root_identity == policy::RootIdentity::by_rule ? "true" : "false";
    };
    differ("allow_root_identity", root(before), root(after));
    const auto was = to_lines(before);
    const auto is = to_lines(after);
    for (const auto& line : was) {
        if (!has(is, line)) changes.push_back(fmt::format("policy.rule: gone: {}", line));
    }
    for (const auto& line : is) {
        if (!has(was, line)) changes.push_back(fmt::format("policy.rule: new: {}", line));
    }
    return changes;
}

}  // namespace uidnfs::plugins
