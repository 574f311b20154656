// SPDX-License-Identifier: Apache-2.0
#include "plugins/settings/environment.hpp"

#include "config/source.hpp"
#include "config/text.hpp"
#include "plugins/policy/address.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace uidnfs::plugins {
namespace {

constexpr std::string_view kPassword = "LDAP_SVC_PASS";
constexpr std::string_view kNames[] = {
    "LDAP_HOST",
    "LDAP_PORT",
    "LDAP_PROTO",
    "LDAP_SVC_USER",
    "LDAP_SVC_PASS_FILE",
    "LDAP_USER_FQDN",
    "LDAP_CA_CERT",
    "LDAP_CA_CERT_FILE",
    "LDAP_TIMEOUT",
};

void refuse(Draft& draft, std::string name, std::string found, std::string allowed) {
    draft.problems.push_back(
        {"environment", 0, std::move(name), std::move(found), std::move(allowed)}
    );
}

std::string show(std::string_view text) { return fmt::format("\"{}\"", config::shown(text)); }

std::optional<std::uint32_t> number(
    Draft& draft,
    const Environment& environment,
    const std::string& name,
    std::uint32_t max,
    std::string_view allowed
) {
    const auto text = environment.get(name);
    if (text.empty()) return std::nullopt;
    std::uint32_t value = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (status == std::errc{} && end == text.data() + text.size() && value > 0 && value <= max) {
        return value;
    }
    refuse(draft, name, show(text), std::string(allowed));
    return std::nullopt;
}

/// The old driver gave up on a directory after 120 s, in a platform that waits for 8.
void apply_timeout(Draft& draft, const Environment& environment, ldap::Options& options) {
    const auto wanted = number(
        draft, environment, "LDAP_TIMEOUT", 86400, "use a whole number of seconds from 1 to 86400"
    );
    if (!wanted) return;
    const auto deadline = draft.settings.mounts.deadline_seconds;
    const auto longest = deadline > 3 ? deadline - 2 : 1;
    options.timeout = std::chrono::seconds(std::min(*wanted, longest));
    if (*wanted > longest) {
        draft.warnings.push_back(fmt::format(
            "LDAP_TIMEOUT={} is more than a mount may take (mounts.deadline_seconds = {}): {} s "
            "are "
            "used",
            *wanted,
            deadline,
            longest
        ));
    }
}

bool is_loopback(std::string_view host) {
    const auto address = policy::parse_address(host);
    return host == "localhost" || (address && address->is_loopback());
}

/// What LDAP_HOST means.
void apply_host(Draft& draft, const Environment& environment) {
    auto host = std::string(environment.get("LDAP_HOST"));
    auto& options = draft.settings.ldap ? *draft.settings.ldap : draft.settings.ldap.emplace();
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    if (!config::is_host(host)) {
        refuse(draft, "LDAP_HOST", show(host), "use a host name or an address");
        return;
    }
    const bool has_ca =
        !environment.get("LDAP_CA_CERT").empty() || !environment.get("LDAP_CA_CERT_FILE").empty();
    const auto port =
        number(draft, environment, "LDAP_PORT", 65535, "use a port number from 1 to 65535");
    const bool is_ipv6 = host.find(':') != std::string::npos;
    options.urls = {fmt::format(
        "{}://{}{}{}:{}",
        has_ca ? "ldaps" : "ldap",
        is_ipv6 ? "[" : "",
        host,
        is_ipv6 ? "]" : "",
        port.value_or(has_ca ? 636 : 389)
    )};
    options.start_tls = false;
    options.user_filter = "(&(objectClass=User)(cn={username}))";
    options.group_base.clear();
    options.attributes = {};
    options.verify_password = true;
    options.default_gid.reset();
    options.gid_from_uid = true;
    if (!has_ca && !options.allow_plaintext && !is_loopback(host)) {
        refuse(
            draft,
            "LDAP_CA_CERT",
            "nothing",
            "the old driver then sent passwords in the clear; set it, or allow_plaintext = true in "
            "[ldap]"
        );
    }
    for (const std::string name : {"LDAP_SVC_USER", "LDAP_USER_FQDN"}) {
        if (environment.get(name).empty() &&
            (name == "LDAP_SVC_USER" ? options.bind_dn : options.user_base).empty()) {
            refuse(draft, name, "nothing", "LDAP_HOST needs it; set it");
        }
    }
    const bool has_password = !environment.password().empty() ||
                              !environment.get("LDAP_SVC_PASS_FILE").empty() ||
                              !draft.settings.bind_password_file.empty();
    if (!has_password) {
        refuse(
            draft,
            "LDAP_SVC_PASS_FILE",
            "nothing",
            "LDAP_HOST needs a password; set it to a file (or LDAP_SVC_PASS)"
        );
    }
    draft.warnings.push_back(fmt::format(
        "LDAP_HOST is set: users are looked up as the old driver did, at {}, by (objectClass=User) "
        "and cn, without groups",
        options.urls.front()
    ));
}

void apply_single(Draft& draft, const Environment& environment) {
    auto& settings = draft.settings;
    auto& options = *settings.ldap;
    const auto set = [&](const std::string& name, std::string& member) {
        const auto text = environment.get(name);
        if (text.empty()) return;
        if (config::has_control_characters(text)) {
            refuse(draft, name, "control characters", "leave them out");
            return;
        }
        member = text;
    };
    set("LDAP_SVC_USER", options.bind_dn);
    set("LDAP_USER_FQDN", options.user_base);
    set("LDAP_CA_CERT_FILE", options.ca_file);
    set("LDAP_SVC_PASS_FILE", settings.bind_password_file);
    if (const auto pem = environment.get("LDAP_CA_CERT"); !pem.empty()) {
        if (!environment.get("LDAP_CA_CERT_FILE").empty()) {
            refuse(draft, "LDAP_CA_CERT", "LDAP_CA_CERT_FILE as well", "leave one of them out");
        } else {
            options.ca_pem = pem;
            options.ca_file.clear();
        }
    }
    if (!environment.password().empty()) {
        if (!environment.get("LDAP_SVC_PASS_FILE").empty()) {
            refuse(draft, "LDAP_SVC_PASS_FILE", "LDAP_SVC_PASS as well", "leave LDAP_SVC_PASS out");
        }
        options.bind_password = environment.password().clone();
        draft.warnings.push_back(
            "LDAP_SVC_PASS: a password in the environment can be seen where the service is started "
            "from; use LDAP_SVC_PASS_FILE"
        );
    }
    apply_timeout(draft, environment, options);
}

}  // namespace

Environment Environment::take() {
    Environment taken;
    for (const auto name : kNames) {
        if (const char* value = std::getenv(name.data()))
            taken.variables_[std::string(name)] = value;
    }
    if (char* value = std::getenv(kPassword.data())) {
        taken.password_ = core::Secret(value);
        ::explicit_bzero(value, std::strlen(value));
        ::unsetenv(kPassword.data());
    }
    return taken;
}

std::vector<std::string> Environment::without_secrets() const {
    std::vector<std::string> out;
    for (const auto& [name, value] : variables_) out.push_back(name + "=" + value);
    if (!password_.empty()) out.push_back(std::string(kPassword) + "=not-told");
    return out;
}

std::string_view Environment::get(const std::string& name) const {
    const auto found = variables_.find(name);
    return found == variables_.end() ? std::string_view() : found->second;
}

void apply_environment(Draft& draft, const Environment& environment) {
    const bool has_host = !environment.get("LDAP_HOST").empty();
    if (has_host) {
        apply_host(draft, environment);
    } else {
        for (const std::string name : {"LDAP_PORT", "LDAP_PROTO"}) {
            if (environment.get(name).empty() || name == "LDAP_PROTO") continue;
            refuse(draft, name, show(environment.get(name)), "it means nothing without LDAP_HOST");
        }
    }
    if (const auto proto = environment.get("LDAP_PROTO"); !proto.empty() && proto != "tcp") {
        refuse(draft, "LDAP_PROTO", show(proto), "only \"tcp\" has a meaning; leave it out");
    }
    if (draft.settings.ldap) {
        apply_single(draft, environment);
        return;
    }
    for (const auto name : kNames) {
        const auto text = environment.get(std::string(name));
        if (text.empty() || name == "LDAP_PROTO" || name == "LDAP_PORT") continue;
        draft.warnings.push_back(fmt::format("{} has no effect without [ldap] or LDAP_HOST", name));
    }
    if (!environment.password().empty()) {
        draft.warnings.push_back("LDAP_SVC_PASS has no effect without [ldap] or LDAP_HOST");
    }
}

}  // namespace uidnfs::plugins
