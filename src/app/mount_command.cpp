// SPDX-License-Identifier: Apache-2.0
// `uidnfs mount`: checks everything that can be checked without the server, makes the detached
// mount, hands it to a keeper, and waits for its word.
#include "app/channel.hpp"
#include "app/commands.hpp"
#include "app/convert.hpp"
#include "app/fuse_mount.hpp"
#include "app/keeper.hpp"
#include "app/mountpoint.hpp"
#include "app/process.hpp"
#include "app/spawn.hpp"
#include "app/spec.hpp"
#include "app/starter.hpp"
#include "app/text.hpp"
#include "config/mount_options.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <vector>

namespace uidnfs::app {
namespace {

constexpr std::uint32_t kNobody = 65534;
/// linux/fuse.h: FUSE_MINOR of the misc device's major number.
constexpr unsigned kMiscMajor = 10;
constexpr unsigned kFuseMinor = 229;

core::SteadyTime now() { return std::chrono::steady_clock::now(); }

/// "uidnfs", or "nobody" where that user does not exist.
ServiceUser find_service_user() {
    for (const char* name : {"uidnfs", "nobody"}) {
        std::array<char, 4096> space;
        passwd entry{};
        passwd* found = nullptr;
        if (::getpwnam_r(name, &entry, space.data(), space.size(), &found) == 0 && found) {
            return {found->pw_uid, found->pw_gid};
        }
    }
    return {kNobody, kNobody};
}

struct Prepared {
    MountSpec spec;
    config::MountRequest request;
    Keeper::Descriptors descriptors;
};

core::Outcome<core::Fd> take_inherited_device(int fd, const std::string& what) {
    struct stat info {};
    const bool fits = ::fstat(fd, &info) == 0 && S_ISCHR(info.st_mode) &&
                      info.st_rdev == ::makedev(kMiscMajor, kFuseMinor);
    core::Fd device(fits ? ::fcntl(fd, F_DUPFD_CLOEXEC, kChannelDescriptor + 1) : -1);
    if (!device) {
        return core::Failure{
            EBADF,
            what +
                fmt::format(
                    "descriptor {} is not an open /dev/fuse; pass on the one that was mounted", fd
                )};
    }
    ::close(fd);
    return device;
}

/// The part that needs the rights to mount.
core::Outcome<void> make_mount(Prepared& prepared, const std::string& mountpoint) {
    const auto source = prepared.request.source.display();
    const auto what = cannot_mount(source, mountpoint);
    auto target = open_mountpoint(mountpoint, source);
    if (!target) return target.error();
    if (::geteuid() != 0) {
        return core::Failure{
            EPERM,
            what +
                "only root may mount; run as root (mounting through fusermount3 is not "
                "available yet)"};
    }
    auto device = open_fuse_device(what);
    if (!device) return device.error();
    auto mount =
        make_detached_mount(plan_fuse_mount(prepared.request.options, source), device->get(), what);
    if (!mount) return mount.error();
    prepared.spec.mountpoint = target->path;
    prepared.spec.worker_user = find_service_user();
    prepared.descriptors = {std::move(*device), std::move(*mount), std::move(target->directory)};
    return {};
}

core::Outcome<Prepared> prepare(const MountArguments& arguments, config::MountRequest request) {
    Prepared prepared{{}, std::move(request), {}};
    auto& spec = prepared.spec;
    spec.source = arguments.source;
    spec.options = arguments.options;
    spec.mountpoint = arguments.mountpoint;
    spec.stay = arguments.stay;
    spec.since = utc_time(std::chrono::system_clock::now());
    if (const auto fd = inherited_device(arguments.mountpoint)) {
        auto device = take_inherited_device(
            *fd, cannot_mount(prepared.request.source.display(), arguments.mountpoint)
        );
        if (!device) return device.error();
        prepared.descriptors.fuse = std::move(*device);
        if (::geteuid() == 0) spec.worker_user = find_service_user();
    } else if (auto made = make_mount(prepared, arguments.mountpoint); !made) {
        return made.error();
    }
    return prepared;
}

core::Failure keeper_trouble(const Prepared& prepared, const std::string& why) {
    return {
        EIO,
        cannot_mount(prepared.request.source.display(), prepared.spec.mountpoint) +
            fmt::format("the keeper process {}; see the log", why)};
}

/// Hands everything to a keeper in the background. Returns its pid once the mount is there;
/// otherwise no process is left.
core::Outcome<pid_t> mount_in_background(Prepared prepared) {
    auto ends = Channel::make_pair();
    if (!ends) return keeper_trouble(prepared, "has no socket");
    auto& [ours, theirs] = *ends;
    auto keeper = spawn_self(
        {"uidnfs", "keeper", prepared.request.source.display(), prepared.spec.mountpoint},
        theirs.fd(),
        Output::none
    );
    if (!keeper) {
        return keeper_trouble(
            prepared, fmt::format("cannot be started ({})", describe_errno(keeper.error().code()))
        );
    }
    theirs.close();
    auto message = prepared.spec.encode();
    std::vector<int> fds{prepared.descriptors.fuse.get()};
    if (prepared.descriptors.mount) {
        message.add("mounts", "detached");
        fds.push_back(prepared.descriptors.mount.get());
        fds.push_back(prepared.descriptors.directory.get());
    }
    static_cast<void>(ours.send(message, fds));  // a keeper that does not listen ends the channel
    // It holds them now; an open detached mount here would keep the mount busy.
    prepared.descriptors = {};

    constexpr auto kMargin = std::chrono::seconds(5);
    auto received = ours.receive_until(now() + mount_deadline(prepared.request.options) + kMargin);
    core::Failure failure{EIO, ""};
    if (received) {
        auto verdict = read_verdict(received->message);
        if (!verdict) return {boost::system::in_place_value, keeper->pid()};
        failure = std::move(*verdict);
    } else if (received.error().code() == ETIMEDOUT) {
        failure = keeper_trouble(prepared, "does not answer");
    } else {
        failure = keeper_trouble(prepared, "ended unexpectedly");
    }
    ours.close();
    // It ends by itself; only one that hangs is killed.
    pollfd wait{keeper->pidfd(), POLLIN, 0};
    while (::poll(&wait, 1, 2000) < 0 && errno == EINTR) {
    }
    keeper->kill();
    return failure;
}

}  // namespace

int run_mount(const MountArguments& arguments, Console& console) {
    if (arguments.ready_fd && ::fcntl(*arguments.ready_fd, F_GETFD) < 0) {
        console.complain(fmt::format(
            "uidnfs mount: --ready-fd {}: that descriptor is not open; see uidnfs mount --help",
            *arguments.ready_fd
        ));
        return kExitUsage;
    }
    auto request = config::parse_mount_request(arguments.source, arguments.options);
    if (!request) {
        console.complain(request.error().user_text);
        return kExitUsage;
    }
    for (const auto& warning : request->warnings) console.complain("warning: " + warning);
    auto prepared = prepare(arguments, std::move(*request));
    if (!prepared) {
        console.complain(prepared.error().user_text);
        return kExitFailed;
    }
    if (arguments.stay == Stay::foreground) {
        if (auto logging = configure_log(prepared->spec, prepared->request); !logging) {
            console.complain(logging.error().user_text);
            return kExitFailed;
        }
        ConsoleStarter starter(console, arguments.ready_fd);
        Keeper keeper(
            std::move(prepared->spec),
            std::move(prepared->request),
            std::move(prepared->descriptors),
            starter
        );
        return keeper.run();
    }
    const auto keeper = mount_in_background(std::move(*prepared));
    if (!keeper) {
        console.complain(keeper.error().user_text);
        return kExitFailed;
    }
    if (arguments.ready_fd) write_ready(*arguments.ready_fd);
    notify_service_manager(fmt::format("MAINPID={}\nREADY=1", *keeper));
    return kExitDone;
}

}  // namespace uidnfs::app
