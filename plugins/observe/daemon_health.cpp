// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/daemon_health.hpp"

#include "core/fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace uidnfs::plugins {
namespace {

/// 0, or an errno.
int try_to_write(const std::string& directory) {
    const core::Fd fd(::open(directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
    if (!fd) {
        if (errno != EOPNOTSUPP && errno != EISDIR) return errno;
        // A file system without files that have no name: its rights are all that can be asked.
        return ::access(directory.c_str(), W_OK | X_OK) == 0 ? 0 : errno;
    }
    const std::array<char, 4096> block{};
    const auto written = ::write(fd.get(), block.data(), block.size());
    if (written < 0) return errno;
    return written == static_cast<ssize_t>(block.size()) ? 0 : ENOSPC;
}

}  // namespace

core::Outcome<void> check_can_keep(const std::string& directory) {
    const int code = try_to_write(directory);
    if (code == 0) return {};
    return core::Failure{
        code,
        fmt::format(
            "cannot write to {}: {}; without it nothing can be mounted; make room, or give the "
            "service's user the right",
            directory,
            strerrordesc_np(code)
        )};
}

core::Outcome<std::string> DaemonHealth::check() const {
    if (mounter_ == Mounter::gone) {
        return core::Failure{
            ESRCH, "the mounter process is gone: nothing can be mounted; restart uidnfsd"};
    }
    for (const auto& directory : directories_) {
        if (auto writable = check_can_keep(directory); !writable) return writable.error();
    }
    if (damaged_files_ == 0) return std::string();
    return fmt::format(
        "state files that are damaged: {}; their volumes are unknown, and the log names them",
        damaged_files_
    );
}

}  // namespace uidnfs::plugins
