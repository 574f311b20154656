// SPDX-License-Identifier: Apache-2.0
#include "app/kept_spec.hpp"

#include "app/names.hpp"
#include "core/fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace uidnfs::app {

namespace {

core::Result<void> replace(const std::string& path, const std::string& bytes) {
    const auto temporary = path + ".new";
    const core::Fd file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600)
    );
    if (!file) return core::Error(errno);
    const auto written = ::write(file.get(), bytes.data(), bytes.size());
    if (written < 0) return core::Error(errno);
    if (static_cast<std::size_t>(written) != bytes.size()) return core::Error(ENOSPC);
    // What ends with the machine need not be on a disk.
    if (std::rename(temporary.c_str(), path.c_str()) != 0) return core::Error(errno);
    return {};
}

}  // namespace

core::Result<void> write_kept_spec(const std::string& path, const MountSpec& spec) {
    auto written = replace(path, spec.encode().encode());
    if (!written) {
        ::unlink((path + ".new").c_str());
        ::unlink(path.c_str());
    }
    return written;
}

core::Result<MountSpec> read_kept_spec(const std::string& path) {
    const core::Fd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return core::Error(errno);
    struct stat info {};
    if (::fstat(file.get(), &info) != 0) return core::Error(errno);
    if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 077) != 0) {
        return core::Error(EPERM);
    }
    std::string bytes(Message::kMaxBytes + 1, '\0');
    const auto size = ::read(file.get(), bytes.data(), bytes.size());
    if (size < 0) return core::Error(errno);
    bytes.resize(static_cast<std::size_t>(size));
    const auto message = Message::decode(bytes);
    if (!message || message->verb() != MountSpec::kVerb) return core::Error(EPROTO);
    return MountSpec::decode(*message);
}

core::Outcome<MountSpec> kept_spec_of(const MountEntry& entry) {
    const auto path = control::find_companion(entry.minor, control::kSpecSuffix);
    if (!path) {
        return core::Failure{
            ESRCH,
            "its keeper has left no word of what it kept (was it of another version, or of another "
            "user?); unmount it and mount it again"};
    }
    auto spec = read_kept_spec(*path);
    if (!spec) {
        return core::Failure{
            spec.error().code(), fmt::format("{}: {}", *path, describe_errno(spec.error().code()))};
    }
    // Directories above it were renamed; or the number was used again by a mount whose keeper could
    // leave nothing, and this is of the one before. Which of both cannot be seen here.
    if (spec->way != Way::inherited && spec->mountpoint != entry.mountpoint) {
        return core::Failure{
            ESTALE,
            fmt::format(
                "its keeper knew it as {}; give the directories above it their names back, or "
                "unmount it and mount it again",
                printable(spec->mountpoint)
            )};
    }
    return std::move(*spec);
}

}  // namespace uidnfs::app
