// SPDX-License-Identifier: Apache-2.0
// Who the front becomes once it has what only root can have, and the directories that are his.
#pragma once

#include "core/error.hpp"

#include <sys/types.h>

#include <string>

namespace uidnfs::plugins {

struct ServiceUser {
    std::string name;
    uid_t uid = 0;
    gid_t gid = 0;
};

/// ENOENT: there is no such user; EPERM: it is root.
core::Outcome<ServiceUser> find_service_user(const std::string& name);

/// Whether `path` is a directory in which root may open files by name: `user` can change neither
/// what is in it nor what leads to it.
bool is_roots_directory(const std::string& path, const ServiceUser& user);

inline constexpr mode_t kPrivate = 0700;
inline constexpr mode_t kReadable = 0755;

/// Makes `path` if need be and gives it to `user`; what is above it is root's (0755). EPERM: it is
/// somebody else's, or not there and `user` could make it lead elsewhere.
core::Outcome<void> give_directory(
    const std::string& path, const ServiceUser& user, mode_t mode = kPrivate
);

/// Makes the directory of `path` for `user` if need be, and the file (0640) where it is not there
/// and the directory is root's; in his own he makes it by himself. EACCES: it is there, and `user`
/// cannot write to it.
core::Outcome<void> give_file(const std::string& path, const ServiceUser& user);

/// As give_directory(), but one that is there already stays as it is, if `user` can write to it.
core::Outcome<void> check_writable(
    const std::string& path, const ServiceUser& user, mode_t mode = kPrivate
);

/// Whether `user` can read the file at `path`. EACCES: what to change.
core::Outcome<void> check_readable(const std::string& path, const ServiceUser& user);

/// For good: all ids, no capabilities, no groups, no_new_privs. Applies to every thread that there
/// is (setresuid(3) of glibc does), so it may be called when libraries have begun theirs.
core::Result<void> become(const ServiceUser& user);

}  // namespace uidnfs::plugins
