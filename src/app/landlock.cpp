// SPDX-License-Identifier: Apache-2.0
#include "app/landlock.hpp"

#include "core/fd.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace uidnfs::app {
namespace {

constexpr std::uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr std::uint64_t kReadWrite = kRead | LANDLOCK_ACCESS_FS_WRITE_FILE;
constexpr std::uint64_t kBelow = kRead | LANDLOCK_ACCESS_FS_READ_DIR;

struct Opened {
    const char* path;
    std::uint64_t access;
};

/// Directories stand for all below them. Files that are replaced later are not read again: names
/// are resolved when a worker begins, and a new one begins for each try.
constexpr Opened kOpened[] = {
    {"/dev/fuse", kReadWrite},  // for another thread (fuse/notifier.cpp)
    {"/dev/null", kReadWrite},
    {"/dev/random", kRead},
    {"/dev/urandom", kRead},
    {"/proc", kBelow},  // callers, itself
    // What the C library looks for: names, modules for them, time zones, processors.
    {"/etc/gai.conf", kRead},
    {"/etc/host.conf", kRead},
    {"/etc/hostname", kRead},
    {"/etc/hosts", kRead},
    {"/etc/ld.so.cache", kRead},
    {"/etc/localtime", kRead},
    {"/etc/mdns.allow", kRead},
    {"/etc/nsswitch.conf", kRead},
    {"/etc/protocols", kRead},
    {"/etc/resolv.conf", kRead},
    {"/etc/services", kRead},
    {"/lib", kBelow},
    {"/lib64", kBelow},
    {"/sys/devices/system", kBelow},
    {"/usr/lib", kBelow},
    {"/usr/lib64", kBelow},
    {"/usr/share/zoneinfo", kBelow},
};

/// All that is known of files, as far as the kernel with this version knows it. Not ioctl(2) on
/// devices (5), which the filter of system calls judges.
std::uint64_t rights_of(long version) {
    constexpr std::uint64_t kFirst = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    constexpr std::uint64_t kRefer = LANDLOCK_ACCESS_FS_MAKE_SYM << 1;     // 2
    constexpr std::uint64_t kTruncate = LANDLOCK_ACCESS_FS_MAKE_SYM << 2;  // 3
    return kFirst | (version >= 2 ? kRefer : 0) | (version >= 3 ? kTruncate : 0);
}

core::Result<void> allow(int rules, const Opened& opened) {
    const core::Fd path(::open(opened.path, O_PATH | O_CLOEXEC));
    if (!path) return {};  // what is not there is not opened
    struct stat info {};
    if (::fstat(path.get(), &info) != 0) return core::Error(errno);
    auto access = opened.access;
    if (!S_ISDIR(info.st_mode)) access &= ~std::uint64_t{LANDLOCK_ACCESS_FS_READ_DIR};
    const landlock_path_beneath_attr rule{access, path.get()};
    if (::syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
        return core::Error(errno);
    }
    return {};
}

}  // namespace

core::Result<int> restrict_files() {
    const long version =
        ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 0) return core::Error(errno);
    // Longer ones of later versions begin with this.
    const std::uint64_t handled = rights_of(version);
    const core::Fd rules(
        static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0))
    );
    if (!rules) return core::Error(errno);
    for (const auto& opened : kOpened) {
        if (const auto allowed = allow(rules.get(), opened); !allowed) return allowed.error();
    }
    if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0) return core::Error(errno);
    return {boost::system::in_place_value, static_cast<int>(version)};
}

}  // namespace uidnfs::app
