// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/service_user.hpp"

#include "core/fd.hpp"
#include "core/text.hpp"
#include "core/user.hpp"
#include "plugins/settings/secret_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

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

/// `right` is S_IROTH, S_IWOTH or S_IXOTH: may the user do that?
bool has_right(const struct stat& info, const ServiceUser& user, mode_t right) {
    if (info.st_uid == user.uid) return (info.st_mode & (right << 6)) != 0;
    if (info.st_gid == user.gid) return (info.st_mode & (right << 3)) != 0;
    return (info.st_mode & right) != 0;
}

bool can_write(const struct stat& info, const ServiceUser& user) {
    return has_right(info, user, S_IWOTH);
}

/// Whether `user` may exchange what `directory` or a link on the way to it is. What is not there
/// yet is made by root.
bool leads_elsewhere(const std::string& directory, const ServiceUser& user) {
    for (std::size_t at = 1; at != std::string::npos; ++at) {
        at = directory.find('/', at);
        const auto name = directory.substr(0, at);
        struct stat link {};
        struct stat info {};
        if (::lstat(name.c_str(), &link) != 0) return errno != ENOENT;
        if (::stat(name.c_str(), &info) != 0) return true;
        if (link.st_uid == user.uid || info.st_uid == user.uid) return true;
        // In a sticky one only his own names are his to change.
        if (can_write(info, user) && (info.st_mode & S_ISVTX) == 0) return true;
        if (at == std::string::npos) break;
    }
    return false;
}

/// As leads_elsewhere(), also where links lead.
bool is_roots_way(const std::string& directory, const ServiceUser& user) {
    if (leads_elsewhere(directory, user)) return false;
    const std::unique_ptr<char, decltype(&std::free)> real(
        ::realpath(directory.c_str(), nullptr), &std::free
    );
    return !real || !leads_elsewhere(real.get(), user);
}

/// What is above `path` must let the user through, or the directory is of no use to it.
core::Outcome<void> check_way(const std::string& path, const ServiceUser& user) {
    for (auto at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
        const auto above = path.substr(0, at);
        struct stat info {};
        if (::stat(above.c_str(), &info) != 0) return trouble(above, errno);
        if (has_right(info, user, S_IXOTH)) continue;
        return core::Failure{
            EACCES,
            fmt::format(
                "{} is closed to {}, which needs {}; chmod o+x {}", above, user.name, path, above
            )};
    }
    return {};
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

bool is_roots_directory(const std::string& path, const ServiceUser& user) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && !can_write(info, user) &&
           is_roots_way(path, user);
}

core::Outcome<void> give_directory(const std::string& path, const ServiceUser& user, mode_t mode) {
    if (!is_roots_way(directory_of(path), user)) {
        // Root makes and gives nothing there: a link would say what.
        struct stat info {};
        if (::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == user.uid) {
            return check_way(path, user);
        }
        return core::Failure{
            EPERM,
            fmt::format(
                "{} cannot be made where {} can change what is above it; choose a directory below "
                "one of root's, or make it: install -d -o {} {}",
                path,
                user.name,
                user.name,
                path
            )};
    }
    make_parents(path);
    const bool is_new = ::mkdir(path.c_str(), kPrivate) == 0;
    if (!is_new && errno != EEXIST) return trouble(path, errno);
    const core::Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!directory || ::fstat(directory.get(), &info) != 0) return trouble(path, errno);
    // Whatever the umask is.
    if (is_new && ::fchmod(directory.get(), mode) != 0) return trouble(path, errno);
    if (info.st_uid == user.uid) return check_way(path, user);
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
    return check_way(path, user);
}

core::Outcome<void> give_file(const std::string& path, const ServiceUser& user) {
    const auto directory = directory_of(path);
    struct stat info {};
    if (::stat(directory.c_str(), &info) != 0) {
        if (auto given = give_directory(directory, user); !given) return given;
    }
    // The user makes it by himself; a name in a directory of his may lead anywhere.
    if (!is_roots_directory(directory, user)) return {};
    const core::Fd made(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640)
    );
    if (made) {
        if (::fchown(made.get(), user.uid, user.gid) != 0) return trouble(path, errno);
        return {};
    }
    if (errno != EEXIST || ::stat(path.c_str(), &info) != 0) return trouble(path, errno);
    if (can_write(info, user)) return {};
    return core::Failure{
        EACCES, fmt::format("{} is not {}'s; chown {} {}", path, user.name, user.name, path)};
}

core::Outcome<void> check_writable(const std::string& path, const ServiceUser& user, mode_t mode) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return give_directory(path, user, mode);
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

core::Outcome<void> check_readable(const std::string& path, const ServiceUser& user) {
    if (auto way = check_way(path, user); !way) return way.error();
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return trouble(path, errno);
    if (has_right(info, user, S_IROTH)) return {};
    return core::Failure{
        EACCES, fmt::format("{}: {} cannot read it; chmod o+r {}", path, user.name, path)};
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
