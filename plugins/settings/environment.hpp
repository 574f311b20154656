// SPDX-License-Identifier: Apache-2.0
// Environment: the variables that the old driver knew, taken out of the process, and what they
// override. Taken once by main(), before threads start; kept for reloads.
#pragma once

#include "core/secret.hpp"
#include "plugins/settings/reader.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins {

class Environment {
public:
    Environment() = default;

    /// Those of this process. LDAP_SVC_PASS is overwritten where it stands, so that
    /// /proc/PID/environ no longer has it, and removed. REQUIRES: one thread.
    static Environment take();

    /// For tests.
    explicit Environment(std::map<std::string, std::string> variables, core::Secret password = {})
        : variables_(std::move(variables)), password_(std::move(password)) {}

    /// Empty where it is not set; to the old driver that was the same.
    std::string_view get(const std::string& name) const;
    const core::Secret& password() const noexcept { return password_; }

    /// "NAME=VALUE" for a process of ours that reads the same configuration and needs no secret: a
    /// password is there by a word that is none.
    std::vector<std::string> without_secrets() const;

private:
    std::map<std::string, std::string> variables_ = {};
    core::Secret password_ = {};  ///< LDAP_SVC_PASS
};

/// LDAP_HOST makes the directory what the old driver asked: one server, (objectClass=User) and cn,
/// no groups, and the uid for a missing gid. Without it the others override single keys of [ldap].
void apply_environment(Draft& draft, const Environment& environment);

}  // namespace uidnfs::plugins
