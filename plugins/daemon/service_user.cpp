// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/service_user.hpp"

#include "core/fd.hpp"
#include "core/text.hpp"
#include "core/user.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace uidnfs::plugins {
namespace {

core::Failure trouble(const std::string& path, int code) {
    return {code, fmt::format("{}: {}", path, core::describe_errno(code))};
}

/// What is above `path`, as root's.
void make_parents(const std::string& path) {
    for (auto at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
        ::mkdir(path.substr(0, at).c_str(), 0755);
    }
}

bool can_write(const struct stat& info, const ServiceUser& user) {
    if (info.st_uid == user.uid) return (info.st_mode & S_IWUSR) != 0;
    if (info.st_gid == user.gid) return (info.st_mode & S_IWGRP) != 0;
    return (info.st_mode & S_IWOTH) != 0;
}

}  // namespace

core::Outcome<ServiceUser> find_service_user(const std::string& name) {
    const auto found = core::find_user(name);
    if (!found) {
        return core::Failure{
            ENOENT,
            fmt::format(
                "workers.user: there is no user {}; create it (useradd --system {}), or name "
                "another",
                core::printable(name),
                core::printable(name)
            )};
    }
    if (found->uid == 0) {
        return core::Failure{EPERM, "workers.user: root is no service user; name another"};
    }
    return ServiceUser{name, found->uid, found->gid};
}

core::Outcome<void> give_directory(const std::string& path, const ServiceUser& user) {
    make_parents(path);
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return trouble(path, errno);
    const core::Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!directory || ::fstat(directory.get(), &info) != 0) return trouble(path, errno);
    if (info.st_uid == user.uid) return {};
    if (info.st_uid != 0) {
        return core::Failure{
            EPERM,
            fmt::format(
                "{} belongs to user {}; it must be {}'s: chown {} {}",
                path,
                info.st_uid,
                user.name,
                user.name,
                path
            )};
    }
    if (::fchown(directory.get(), user.uid, user.gid) != 0) return trouble(path, errno);
    return {};
}

core::Outcome<void> check_writable(const std::string& path, const ServiceUser& user) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return give_directory(path, user);
    if (!S_ISDIR(info.st_mode)) return trouble(path, ENOTDIR);
    if (can_write(info, user)) return {};
    return core::Failure{
        EACCES,
        fmt::format(
            "{}: {} cannot write to it; chgrp {} {} and chmod g+ws {}",
            path,
            user.name,
            user.name,
            path,
            path
        )};
}

core::Result<void> become(const ServiceUser& user) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::setgroups(0, nullptr) != 0 ||
        ::setresgid(user.gid, user.gid, user.gid) != 0 ||
        ::setresuid(user.uid, user.uid, user.uid) != 0) {
        return core::Error(errno);
    }
    // The change of user made it so again.
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return core::Error(errno);
    return {};
}

}  // namespace uidnfs::plugins
