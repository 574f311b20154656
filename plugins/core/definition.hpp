// SPDX-License-Identifier: Apache-2.0
// Definition: what Create said about a volume, as it was written, the password apart. It is parsed
// again at each Mount, because the operator's rules may have changed. Immutable once made, so that
// the thread that saves it may share it.
#pragma once

#include "core/secret.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace uidnfs::plugins {

struct Definition {
    enum class Password : std::uint8_t {
        none,
        here,
        lost,  ///< there was one before this daemon started; passwords are not kept on disk
    };

    std::string source;  ///< "server:/export" or a URL without options; empty: none was given
    /// Name and value, in the order of their names; never a secret.
    std::vector<std::pair<std::string, std::string>> options;
    /// What was wrong with how it was written, found before it could be kept (an option that is
    /// neither text nor number, two sources); told again at each Mount.
    std::vector<std::string> problems;
    Password password_state = Password::none;
    core::Secret password;
    /// For who shows it; nothing: older than this field.
    std::optional<std::chrono::sys_seconds> created;

    /// Whether Create said the same, whenever.
    bool same_as(const Definition& other) const noexcept {
        return source == other.source && options == other.options && problems == other.problems &&
               password_state == other.password_state && password.same_as(other.password);
    }
};

using DefinitionPtr = std::shared_ptr<const Definition>;

}  // namespace uidnfs::plugins
