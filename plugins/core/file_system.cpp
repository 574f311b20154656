// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/file_system.hpp"

#include "core/fd.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string_view>

namespace uidnfs::plugins {
namespace {

constexpr std::size_t kMaxFile = 1u << 20;
constexpr mode_t kWritableByOthers = 022;

core::Error last_error() { return core::Error(errno); }

core::Result<core::Fd> open_file(const std::string& path, int flags, mode_t mode = 0) {
    core::Fd fd(::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, mode));
    if (!fd) return last_error();
    return fd;
}

core::Result<void> write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const auto written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return last_error();
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

}  // namespace

core::Result<void> PosixFileSystem::make_directory(const std::string& path) {
    // A directory above it is an operator's, and may be readable.
    for (auto slash = path.find('/', 1); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
        if (::mkdir(path.substr(0, slash).c_str(), 0755) != 0 && errno != EEXIST) {
            return last_error();
        }
    }
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return last_error();
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0) return last_error();
    if (!S_ISDIR(st.st_mode)) return core::Error(ENOTDIR);
    if (st.st_uid != ::geteuid() || (st.st_mode & kWritableByOthers) != 0) {
        return core::Error(EPERM);
    }
    return {};
}

core::Result<std::vector<std::string>> PosixFileSystem::list(const std::string& directory) {
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), ::closedir);
    if (!entries) return last_error();
    std::vector<std::string> names;
    errno = 0;
    while (const auto* entry = ::readdir(entries.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return last_error();
    std::sort(names.begin(), names.end());
    return names;
}

core::Result<std::string> PosixFileSystem::read(const std::string& path) {
    const auto fd = open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!fd) return fd.error();
    struct stat st {};
    if (::fstat(fd->get(), &st) != 0) return last_error();
    if (!S_ISREG(st.st_mode)) return core::Error(EINVAL);
    if (st.st_uid != ::geteuid() || (st.st_mode & kWritableByOthers) != 0) {
        return core::Error(EPERM);
    }
    std::string bytes(kMaxFile + 1, '\0');
    std::size_t size = 0;
    while (size < bytes.size()) {
        const auto got = ::read(fd->get(), bytes.data() + size, bytes.size() - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return last_error();
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
    }
    if (size > kMaxFile) return core::Error(EFBIG);
    bytes.resize(size);
    bytes.shrink_to_fit();
    return bytes;
}

core::Result<void> PosixFileSystem::write(const std::string& path, const std::string& bytes) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return last_error();
    const auto fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (!fd) return fd.error();
    if (const auto written = write_all(fd->get(), bytes); !written) return written.error();
    if (::fsync(fd->get()) != 0) return last_error();
    return {};
}

core::Result<void> PosixFileSystem::rename(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) return last_error();
    return {};
}

core::Result<void> PosixFileSystem::remove(const std::string& path) {
    if (::unlink(path.c_str()) != 0) return last_error();
    return {};
}

core::Result<void> PosixFileSystem::sync_directory(const std::string& path) {
    const auto fd = open_file(path, O_RDONLY | O_DIRECTORY);
    if (!fd) return fd.error();
    if (::fsync(fd->get()) != 0) return last_error();
    return {};
}

}  // namespace uidnfs::plugins
