// SPDX-License-Identifier: Apache-2.0
// A user of this machine, by name, as its name services have it. They may ask a network: not for a
// thread that must not wait.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace uidnfs::core {

struct User {
    uid_t uid = 0;
    gid_t gid = 0;  ///< the primary one
};

/// Nothing: there is none, or nobody can say.
std::optional<User> find_user(const std::string& name);

}  // namespace uidnfs::core
