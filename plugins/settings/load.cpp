// SPDX-License-Identifier: Apache-2.0
#include "plugins/settings/load.hpp"

#include "plugins/settings/secret_file.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

namespace uidnfs::plugins {
namespace {

/// Whether the password of `in_force` came from the same file, which could not be opened now.
bool is_kept(const Settings* in_force, const std::string& path, const core::Failure& failure) {
    return failure.code == EACCES && in_force && in_force->ldap &&
           in_force->bind_password_file == path && !in_force->ldap->bind_password.empty();
}

/// Who wrote the secret itself where its path belongs does not read it in a log.
std::string quoted(const std::string& path) {
    return path.starts_with('/') ? fmt::format("\"{}\"", path) : "a file";
}

void load_bind_password(
    Draft& draft, const Environment& environment, const Trust& trust, const Settings* in_force
) {
    auto& settings = draft.settings;
    if (!settings.ldap) return;
    auto& options = *settings.ldap;
    const auto& path = settings.bind_password_file;
    // What the environment gives comes first: it overrides.
    if (!path.empty() && options.bind_password.empty()) {
        auto secret = read_secret(path, trust);
        if (secret) {
            options.bind_password = std::move(*secret);
        } else if (is_kept(in_force, path, secret.error())) {
            options.bind_password = in_force->ldap->bind_password.clone();
            draft.warnings.push_back(fmt::format(
                "{} is for root alone, and this is the service's user: the password that was read "
                "from it at the start stays in force; to change it restart the service, or chgrp "
                "it to the service's group and chmod 0640",
                path
            ));
        } else if (!environment.get("LDAP_SVC_PASS_FILE").empty()) {
            draft.problems.push_back(
                {"environment", 0, "LDAP_SVC_PASS_FILE", quoted(path), secret.error().user_text}
            );
        } else {
            draft.add("ldap.bind_password_file", quoted(path), secret.error().user_text);
        }
    }
}

/// Whether the service has what is in the file since it began, and cannot open it any more.
bool is_out_of_reach(const std::string& path, const std::string& in_force) {
    return path == in_force && ::access(path.c_str(), R_OK) != 0 && errno == EACCES;
}

void check_tls_files(Draft& draft, const Trust& trust, const Settings* in_force) {
    if (!draft.settings.cloudfoundry) return;
    const auto& tls = draft.settings.cloudfoundry->tls;
    const std::string section = "plugin.cloudfoundry.tls.";
    for (const auto& [name, path] :
         {std::pair{"ca_file", &tls.ca_file},
          std::pair{"cert_file", &tls.cert_file},
          std::pair{"client_cert_file", &tls.client_cert_file}}) {
        if (path->empty() || ::access(path->c_str(), R_OK) == 0) continue;
        draft.add(section + name, quoted(*path), "it cannot be read; check the path");
    }
    const auto judge = [&](const char* name, const std::string& path, std::string problem) {
        if (!problem.empty()) draft.add(section + name, quoted(path), std::move(problem));
    };
    const auto before =
        in_force && in_force->cloudfoundry ? in_force->cloudfoundry->tls : TlsSettings{};
    if (!tls.key_file.empty() && !is_out_of_reach(tls.key_file, before.key_file)) {
        judge("key_file", tls.key_file, check_secret_file(tls.key_file, trust));
    }
    // rep reads it, as a user of its own.
    if (!tls.client_key_file.empty() &&
        !is_out_of_reach(tls.client_key_file, before.client_key_file)) {
        judge(
            "client_key_file",
            tls.client_key_file,
            check_clients_secret_file(tls.client_key_file, trust)
        );
    }
}

}  // namespace

Loaded load_settings(
    const std::string& path, const Environment& environment, const Settings* in_force, uid_t reader
) {
    const auto text = read_public(path, make_configuration_trust(reader, ::getegid()));
    if (!text) return {.problems = {{path, 0, {}, {}, text.error().user_text}}};
    auto draft = read_settings(*text, path);
    // A document that could not be read says nothing that could be compared.
    const bool is_document = draft.problems.size() != 1 || !draft.problems.front().key.empty();
    if (is_document) {
        apply_environment(draft, environment);
        const auto trust = make_trust(draft.settings.workers.user);
        load_bind_password(draft, environment, trust, in_force);
        check_tls_files(draft, trust, in_force);
        check_settings(draft);
    }
    Loaded loaded{.problems = std::move(draft.problems), .warnings = std::move(draft.warnings)};
    if (loaded.problems.empty()) loaded.settings = std::move(draft.settings);
    return loaded;
}

}  // namespace uidnfs::plugins
