// SPDX-License-Identifier: Apache-2.0
#include "core/user.hpp"

#include <pwd.h>

#include <cerrno>
#include <cstddef>
#include <vector>

namespace uidnfs::core {

std::optional<User> find_user(const std::string& name) {
    constexpr std::size_t kFirst = 4096;
    constexpr std::size_t kMost = 1 << 20;  // an entry may have a long comment
    for (std::size_t size = kFirst; size <= kMost; size *= 4) {
        std::vector<char> space(size);
        passwd entry{};
        passwd* found = nullptr;
        const int code = ::getpwnam_r(name.c_str(), &entry, space.data(), space.size(), &found);
        if (found) return User{found->pw_uid, found->pw_gid};
        if (code != ERANGE) return std::nullopt;
    }
    return std::nullopt;
}

}  // namespace uidnfs::core
