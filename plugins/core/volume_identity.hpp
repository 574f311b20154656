// SPDX-License-Identifier: Apache-2.0
// VolumeIdentity: who a volume is to be on the server, as its words say it: declared by ids, by a
// name and a password, or by the name of a credentials file; and whether that fits together and
// the operator's rules. Pure; for volume_options.cpp.
#pragma once

#include "config/mount_options.hpp"
#include "plugins/core/definition.hpp"
#include "plugins/core/volume_options.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins {

class VolumeIdentity {
public:
    VolumeIdentity(const Definition& definition, const OptionRules& rules)
        : definition_(definition), rules_(rules) {}

    void set_username(std::string name) { username_ = std::move(name); }
    /// What is wrong with the name; empty: nothing.
    std::string set_credentials(std::string name);
    /// One of uid, gid and gids was given.
    void declare(std::string name) { declared_.push_back(std::move(name)); }
    bool is_declared() const noexcept { return !declared_.empty(); }

    /// What is wrong with it; else nothing, and `result` has username or credentials. `result` has
    /// all options.
    std::vector<std::string> check(VolumeOptions& result) const;

private:
    std::string check_login(VolumeOptions& result) const;
    std::string check_password() const;
    std::vector<std::string> check_declared(const VolumeOptions& result) const;
    bool has(std::string_view name) const;

    const Definition& definition_;
    const OptionRules& rules_;
    std::vector<std::string> declared_;
    std::optional<std::string> username_;
    std::optional<std::string> credentials_;
};

}  // namespace uidnfs::plugins
