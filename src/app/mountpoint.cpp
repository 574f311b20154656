// SPDX-License-Identifier: Apache-2.0
#include "app/mountpoint.hpp"

#include "app/fuse_mount.hpp"
#include "app/names.hpp"
#include "core/clock.hpp"
#include "core/growing_pauses.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace uidnfs::app {
namespace {

core::Result<std::string> path_of(int fd) {
    std::array<char, PATH_MAX> path;
    const auto link = "/proc/self/fd/" + std::to_string(fd);
    const auto size = ::readlink(link.c_str(), path.data(), path.size());
    if (size < 0) return core::Error(errno);
    return std::string(path.data(), static_cast<std::size_t>(size));
}

core::Failure explain(int code, const std::string& source, const std::string& path) {
    const auto what = cannot_mount(source, path);
    switch (code) {
        case ENOENT:
            return {code, what + "the mount point does not exist; create the directory first"};
        case ENOTDIR:
            return {code, what + "the mount point is not a directory; choose a directory"};
        default:
            return {
                code,
                what + fmt::format(
                           "the mount point cannot be opened ({}); choose another directory",
                           describe_errno(code)
                       )};
    }
}

/// O_PATH. O_DIRECTORY, or a slash at the end, would trigger an automount (autofs), which waits for
/// the mount that is to come here.
core::Result<core::Fd> open_untouched(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    core::Fd directory(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!directory) return core::Error(errno);
    struct statx info {};
    const int flags = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (::statx(directory.get(), "", flags, STATX_TYPE, &info) != 0) return core::Error(errno);
    if (!S_ISDIR(info.stx_mode)) return core::Error(ENOTDIR);
    return directory;
}

/// Where `id` is a mount of ours at `place`. By its id: one of the same path may be hidden below
/// something else. `path`: the place as it was given.
std::optional<core::Failure> is_taken(
    const std::vector<MountEntry>& mounts,
    std::uint64_t id,
    const std::string& place,
    const std::string& source,
    const std::string& path
) {
    const auto* there = find_by_id(mounts, id);
    if (!there || !is_ours(*there) || there->mountpoint != place) return std::nullopt;
    return core::Failure{
        EBUSY,
        cannot_mount(source, path) +
            fmt::format(
                "{} is mounted there already; unmount it first (uidnfs umount {})",
                printable(there->source),
                path
            )};
}

}  // namespace

core::Outcome<Mountpoint> open_mountpoint(const std::string& path, const std::string& source) {
    auto directory = open_untouched(path);
    if (!directory) return explain(directory.error().code(), source, path);
    const auto id = descriptor_fact(directory->get(), "mnt_id:");
    const auto canonical = path_of(directory->get());
    const auto mounts = read_mountinfo();
    if (!canonical && canonical.error().code() == ENAMETOOLONG) {
        return explain(ENAMETOOLONG, source, path);  // reached from a directory above it
    }
    if (!id || !canonical || !mounts) {
        return core::Failure{
            EIO,
            cannot_mount(source, path) +
                "/proc does not tell what is mounted; mount /proc in this container"};
    }
    if (*canonical == "/") {
        // mount(2) does it, on top of what every process already stands on.
        return core::Failure{
            EINVAL,
            cannot_mount(source, path) + "nobody would see it under /; choose a directory below it"};
    }
    if (*canonical == "/proc") {
        return core::Failure{
            EINVAL,
            cannot_mount(source, path) +
                "nothing works without the /proc below it, not even its unmount; choose another "
                "directory"};
    }
    if (auto taken = is_taken(*mounts, *id, *canonical, source, path)) return std::move(*taken);
    return Mountpoint{std::move(*directory), *canonical};
}

core::Fd take_turn() {
    core::Fd turn;
    for (const auto& directory : control_directories(::geteuid())) {
        turn.reset(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (turn) break;
    }
    if (!turn) return turn;
    // Hundreds wait for it when a machine starts, and each of them looks.
    using std::chrono::milliseconds;
    constexpr milliseconds kLongest{1000};
    core::GrowingPauses pauses(milliseconds(1), milliseconds(32));
    const auto deadline = std::chrono::steady_clock::now() + kLongest;
    while (::flock(turn.get(), LOCK_EX | LOCK_NB) != 0 &&
           std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(pauses.next());
    }
    return turn;
}

core::Outcome<void> check_still_free(const std::string& path, const std::string& source) {
    // While somebody waits for an automount, walking there waits for the mount that we make.
    if (const auto mounts = read_mountinfo()) {
        const auto* top = find_by_path(*mounts, path);
        if (top && top->type == "autofs") return {};
    }
    struct statx info {};
    const int flags = AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (::statx(AT_FDCWD, path.c_str(), flags, STATX_MNT_ID, &info) != 0) return {};
    const auto mounts = read_mountinfo();
    if (!mounts) return {};
    if (auto taken = is_taken(*mounts, info.stx_mnt_id, path, source, path)) {
        return std::move(*taken);
    }
    return {};
}

ProgramPlace place_of_program(int program) {
    struct statx info {};
    const int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
    if (::statx(program, "", flags, STATX_TYPE, &info) != 0) return {};
    const auto mounts = read_mountinfo();
    const bool is_on_ours =
        mounts && info.stx_dev_major == 0 && !find_by_minor(*mounts, info.stx_dev_minor).empty();
    return {S_ISREG(info.stx_mode), is_on_ours};
}

std::string absolute_path(const std::string& path) {
    std::error_code error;
    auto absolute = std::filesystem::weakly_canonical(path, error);
    if (error) absolute = std::filesystem::absolute(path, error);
    auto text = error ? path : absolute.string();
    while (text.size() > 1 && text.back() == '/') text.pop_back();
    return text;
}

std::optional<int> inherited_device(const std::string& mountpoint) {
    constexpr std::string_view kPrefix = "/dev/fd/";
    if (!mountpoint.starts_with(kPrefix)) return std::nullopt;
    const auto* first = mountpoint.data() + kPrefix.size();
    const auto* last = mountpoint.data() + mountpoint.size();
    int fd = -1;
    const auto [stop, error] = std::from_chars(first, last, fd);
    if (error != std::errc() || stop != last || fd < 0) return std::nullopt;
    return fd;
}

core::Result<std::string> canonical_mountpoint(const std::string& path) {
    const core::Fd directory(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (directory) return path_of(directory.get());
    // The walk can end at a mount that is broken; its parent is not.
    auto trimmed = path;
    while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
    const auto slash = trimmed.rfind('/');
    const auto parent = slash == std::string::npos ? "."
                        : slash == 0               ? "/"
                                                   : trimmed.substr(0, slash);
    const std::unique_ptr<char, decltype(&::free)> real(
        ::realpath(parent.c_str(), nullptr), &::free
    );
    if (!real) return core::Error(errno);
    std::string result = real.get();
    if (result != "/") result += '/';
    return result + (slash == std::string::npos ? trimmed : trimmed.substr(slash + 1));
}

}  // namespace uidnfs::app
