// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/volume_identity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace uidnfs::plugins {
namespace {

using Password = Definition::Password;

constexpr std::size_t kMaxCredentialsName = 128;

bool is_plain(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-' || c == '.';
}

/// What says who a volume is.
std::string_view wanted(OptionRules::Identity identity) noexcept {
    switch (identity) {
        case OptionRules::Identity::declared: return "uid and gid";
        case OptionRules::Identity::directory: return "username and password";
        case OptionRules::Identity::either: break;
    }
    return "uid and gid, or with username and password";
}

}  // namespace

std::string VolumeIdentity::set_credentials(std::string name) {
    const bool is_name = !name.empty() && name.size() <= kMaxCredentialsName &&
                         name.front() != '.' && std::all_of(name.begin(), name.end(), is_plain);
    credentials_ = std::move(name);
    if (is_name) return {};
    return "credentials= is the name of a file that the operator made, not a path; use letters, "
           "digits, '.', '-' and '_'";
}

std::vector<std::string> VolumeIdentity::check(VolumeOptions& result) const {
    const bool has_password = definition_.password_state != Password::none;
    const bool has_login = username_ || credentials_ || has_password;
    if (!has_login) return check_declared(result);
    if (is_declared()) {
        return {fmt::format(
            "Not allowed options: {} cannot go together with username, password and credentials; "
            "leave one kind out",
            fmt::join(declared_, ", ")
        )};
    }
    auto problem = check_login(result);
    if (problem.empty()) return {};
    return {std::move(problem)};
}

std::string VolumeIdentity::check_login(VolumeOptions& result) const {
    if (rules_.identity == OptionRules::Identity::declared) {
        return "LDAP username is specified but LDAP is not configured: this service resolves no "
               "names; use uid and gid";
    }
    if (credentials_) {
        if (username_ || definition_.password_state != Password::none) {
            return "credentials= stands for username and password; leave those two out";
        }
        result.credentials = *credentials_;
        return {};
    }
    if (!username_ || username_->empty()) {
        return "LDAP password is specified but LDAP username is missing; add username";
    }
    result.username = *username_;
    return check_password();
}

std::string VolumeIdentity::check_password() const {
    if (definition_.password_state == Password::none) {
        return "LDAP username is specified but LDAP password is missing; add password, or use "
               "credentials=NAME instead of both";
    }
    if (definition_.password_state == Password::lost) {
        return "LDAP username is specified but LDAP password is missing: it was given before this "
               "service was started, and passwords are not kept; create the volume again, or use "
               "credentials=NAME";
    }
    if (definition_.password.empty()) {
        return "LDAP username is specified but LDAP password is missing: it is empty, which a "
               "directory takes for nobody; give the password";
    }
    return {};
}

std::vector<std::string> VolumeIdentity::check_declared(const VolumeOptions& result) const {
    if (!is_declared()) {
        return {fmt::format(
            "no identity: say who this volume is on the server with {}", wanted(rules_.identity)
        )};
    }
    if (rules_.identity == OptionRules::Identity::directory) {
        return {fmt::format(
            "Not allowed options: {}: identities come from the directory here; use username and "
            "password",
            fmt::join(declared_, ", ")
        )};
    }
    std::vector<std::string> problems;
    for (const auto* name : {"uid", "gid"}) {
        if (!has(name)) {
            problems.push_back(fmt::format("required '{0}' option is missing; add {0}", name));
        }
    }
    if (rules_.allow_root_identity == config::Switch::on) return problems;
    for (const auto& option : result.options) {
        if ((option.name == "uid" || option.name == "gid") && option.value == "0") {
            problems.push_back(fmt::format(
                "Invalid '{0}' option (0, negative, or non-integer): {0}=0 is root on the server; "
                "use another",
                option.name
            ));
        }
    }
    return problems;
}

bool VolumeIdentity::has(std::string_view name) const {
    return std::find(declared_.begin(), declared_.end(), name) != declared_.end();
}

}  // namespace uidnfs::plugins
