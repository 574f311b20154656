// SPDX-License-Identifier: Apache-2.0
#include "app/fuse_mount.hpp"

#include "app/names.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace uidnfs::app {
namespace {

/// linux/fuse.h: FUSE_MINOR of the misc device's major number.
constexpr unsigned kMiscMajor = 10;
constexpr unsigned kFuseMinor = 229;

/// What the kernel wrote into the log of a file system context (fsopen(2)): "e fuse: Bad value
/// ...".
std::string kernel_words(int context) {
    std::string words;
    std::array<char, 512> line;
    for (;;) {
        const auto size = ::read(context, line.data(), line.size());
        if (size <= 0) return words;
        if (!words.empty()) words += "; ";
        words += printable({line.data(), static_cast<std::size_t>(size)});
    }
}

core::Failure refuse(int code, const std::string& what, std::string why, std::string details = {}) {
    return {code, what + std::move(why), std::move(details)};
}

core::Failure explain_mount_error(int code, const std::string& what, const std::string& words) {
    const auto reason = words.empty() ? describe_errno(code) : words;
    if (code == EPERM || code == EACCES) {
        return refuse(
            code,
            what,
            "mounting is not permitted here; run as root with CAP_SYS_ADMIN (for a container: "
            "--cap-add SYS_ADMIN --device /dev/fuse)",
            reason
        );
    }
    if (code == ENODEV) {
        return refuse(code, what, "this kernel has no FUSE; load its module (modprobe fuse)");
    }
    if (code == ENOSYS) {
        return refuse(code, what, "this kernel has no fsopen(2); Linux 5.2 or newer is needed");
    }
    return refuse(code, what, fmt::format("the kernel refused the mount ({})", reason));
}

/// fsconfig(2) takes strings of up to 255 bytes. The kernel only shows it; status knows all of it.
std::string shortened(const std::string& source) {
    constexpr std::size_t kLongest = 255;
    constexpr std::string_view kMore = "...";
    if (source.size() <= kLongest) return source;
    return source.substr(0, kLongest - kMore.size()) + std::string(kMore);
}

}  // namespace

FuseMountPlan plan_fuse_mount(const config::MountOptions& options, const std::string& source) {
    FuseMountPlan plan;
    auto& parameters = plan.parameters;
    parameters.emplace_back("source", shortened(source));
    parameters.emplace_back("subtype", "uidnfs");
    parameters.emplace_back("rootmode", "40000");
    const bool strict = options.access == mapper::Access::strict;
    parameters.emplace_back("user_id", std::to_string(strict ? options.app_uid : 0));
    parameters.emplace_back("group_id", std::to_string(strict ? options.app_gid : 0));
    if (!strict) parameters.emplace_back("allow_other", std::nullopt);
    if (options.identity == config::IdentityMode::caller) {
        parameters.emplace_back("default_permissions", std::nullopt);
    }
    parameters.emplace_back("max_read", kMaxRead);
    if (!options.context.empty()) parameters.emplace_back("context", options.context);
    plan.attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    if (options.read_only == config::Switch::on) {
        parameters.emplace_back("ro", std::nullopt);
        plan.attributes |= MOUNT_ATTR_RDONLY;
    }
    if (options.noexec == config::Switch::on) plan.attributes |= MOUNT_ATTR_NOEXEC;
    if (options.noatime == config::Switch::on) plan.attributes |= MOUNT_ATTR_NOATIME;
    return plan;
}

std::string cannot_mount(const std::string& source, const std::string& mountpoint) {
    return fmt::format("cannot mount {} on {}: ", source, mountpoint);
}

core::Outcome<core::Fd> open_fuse_device(const std::string& what) {
    core::Fd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
    if (device) return device;
    const int code = errno;
    switch (code) {
        case ENOENT:
        case ENODEV:
        case ENXIO:
            return refuse(
                code,
                what,
                "/dev/fuse is missing; load the kernel's module (modprobe fuse), or give the "
                "container the device (--device /dev/fuse)"
            );
        case EACCES:
        case EPERM:
            return refuse(
                code,
                what,
                "opening /dev/fuse is not permitted; run as root, or give the container the device "
                "(--device /dev/fuse)"
            );
        default:
            return refuse(
                code, what, fmt::format("/dev/fuse cannot be opened ({})", describe_errno(code))
            );
    }
}

core::Outcome<core::Fd> make_detached_mount(
    const FuseMountPlan& plan, int fuse, const std::string& what
) {
    const core::Fd context(::fsopen("fuse", FSOPEN_CLOEXEC));
    if (!context) return explain_mount_error(errno, what, {});
    const auto configure = [&](const char* name, const char* value) {
        const auto command = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
        return ::fsconfig(context.get(), command, name, value, 0) == 0;
    };
    for (const auto& [name, value] : plan.parameters) {
        if (!configure(name.c_str(), value ? value->c_str() : nullptr)) {
            const int code = errno;
            return refuse(
                code,
                what,
                fmt::format(
                    "the kernel refused {}{}{} ({}); leave that option out",
                    name,
                    value ? "=" : "",
                    value.value_or(""),
                    describe_errno(code)
                ),
                kernel_words(context.get())
            );
        }
    }
    if (!configure("fd", std::to_string(fuse).c_str()) ||
        ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
        const int code = errno;
        return explain_mount_error(code, what, kernel_words(context.get()));
    }
    core::Fd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, plan.attributes));
    if (!mount) return explain_mount_error(errno, what, {});
    return mount;
}

core::Outcome<void> attach_mount(int mount, int directory, const std::string& what) {
    if (::move_mount(mount, "", directory, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) ==
        0) {
        return {};
    }
    const int code = errno;
    if (code == ENOENT) {
        return refuse(
            code, what, "the mount point was removed meanwhile; create the directory again"
        );
    }
    return refuse(
        code, what, fmt::format("the mount cannot be attached ({})", describe_errno(code))
    );
}

bool is_fuse_device(int fd) {
    struct stat info {};
    return ::fstat(fd, &info) == 0 && S_ISCHR(info.st_mode) &&
           info.st_rdev == ::makedev(kMiscMajor, kFuseMinor);
}

core::Result<std::uint32_t> minor_of(int mount) {
    struct statx info {};
    // A mask of 0 is answered from what the kernel has, also where access=strict keeps root out.
    if (::statx(mount, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &info) != 0) {
        return core::Error(errno);
    }
    return info.stx_dev_minor;
}

std::optional<std::uint32_t> minor_of_device(int fuse) {
    const auto connection = descriptor_fact(fuse, "fuse_connection:");
    if (!connection || *connection > 0xffff'ffff) return std::nullopt;
    return static_cast<std::uint32_t>(*connection);
}

bool is_session_over(int fuse) noexcept {
    pollfd device{fuse, 0, 0};
    return ::poll(&device, 1, 0) == 1 && (device.revents & POLLERR) != 0;
}

core::Result<void> raise_read_ahead(std::uint32_t minor, std::uint64_t kib) {
    const auto path = fmt::format("/sys/class/bdi/0:{}/read_ahead_kb", minor);
    const core::Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return core::Error(errno);
    const auto text = std::to_string(kib);
    if (::write(file.get(), text.data(), text.size()) < 0) return core::Error(errno);
    return {};
}

}  // namespace uidnfs::app
