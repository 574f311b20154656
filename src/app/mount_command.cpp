// SPDX-License-Identifier: Apache-2.0
// `uidnfs mount`: checks everything that can be checked without the server, makes the detached
// mount, hands it to a keeper, and waits for its word.
#include "app/commands.hpp"
#include "app/convert.hpp"
#include "app/fuse_mount.hpp"
#include "app/fusermount.hpp"
#include "app/keeper.hpp"
#include "app/mountpoint.hpp"
#include "app/names.hpp"
#include "app/process.hpp"
#include "app/recovery_file.hpp"
#include "app/remount.hpp"
#include "app/spec.hpp"
#include "app/starter.hpp"
#include "app/unattached.hpp"
#include "config/mount_options.hpp"
#include "control/signals.hpp"
#include "core/clock.hpp"
#include "core/service_manager.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <sstream>
#include <vector>

namespace uidnfs::app {
namespace {

constexpr std::uint32_t kNobody = 65534;

using namespace std::chrono_literals;

using core::now;

/// Whether this user namespace has the id (user_namespaces(7)): "inside outside count" lines.
bool is_mapped(const char* map, std::uint32_t id) {
    const auto text = read_whole(map);
    if (!text) return true;
    std::istringstream lines(*text);
    for (std::uint64_t inside = 0, outside = 0, count = 0; lines >> inside >> outside >> count;) {
        if (id >= inside && id - inside < count) return true;
    }
    return false;
}

/// "uidnfs", or "nobody" where that user does not exist. None in a user namespace that has neither:
/// the worker stays who it is then, without capabilities.
std::optional<ServiceUser> find_service_user() {
    const auto usable = [](ServiceUser user) -> std::optional<ServiceUser> {
        const bool is_usable =
            is_mapped("/proc/self/uid_map", user.uid) && is_mapped("/proc/self/gid_map", user.gid);
        return is_usable ? std::optional(user) : std::nullopt;
    };
    for (const char* name : {"uidnfs", "nobody"}) {
        if (const auto user = find_user(name)) return usable(*user);
    }
    return usable({kNobody, kNobody});
}

struct Prepared {
    MountSpec spec;
    config::MountRequest request;
    Keeper::Descriptors descriptors;
};

core::Outcome<core::Fd> take_inherited_device(int fd, const std::string& what) {
    core::Fd device(is_fuse_device(fd) ? ::fcntl(fd, F_DUPFD_CLOEXEC, kChannelDescriptor + 1) : -1);
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

/// With bg nothing is to be seen yet of a mount that is tried: the later one of two would fail when
/// nobody looks any more.
core::Outcome<void> check_not_tried(const std::string& path, const std::string& what) {
    const auto mounts = read_mountinfo();
    const auto other = mounts ? find_unattached(*mounts, path) : std::nullopt;
    if (!other || other->phase != "starting") return {};
    return core::Failure{
        EBUSY,
        what + fmt::format(
                   "{} is being tried there in the background (bg); give that up first (uidnfs "
                   "umount {})",
                   printable(other->source),
                   path
               )};
}

/// The part that needs the rights to mount.
core::Outcome<void> make_mount(Prepared& prepared, const std::string& mountpoint) {
    const auto source = prepared.request.source.display();
    const auto what = cannot_mount(source, mountpoint);
    auto target = open_mountpoint(mountpoint, source);
    const bool may_wait = prepared.request.options.when == config::When::background &&
                          ::geteuid() == 0 && config::retry_window(prepared.request.options) > 0min;
    if (!target && !(may_wait && target.error().code == ENOENT)) return target.error();
    prepared.spec.mountpoint = target ? target->path : absolute_path(mountpoint);
    if (prepared.request.options.when == config::When::background) {
        auto is_first = check_not_tried(prepared.spec.mountpoint, what);
        if (!is_first) return is_first;
    }
    if (::geteuid() != 0) {
        // What would be refused after the server's answer is refused before.
        auto plan =
            plan_fusermount(prepared.request.options, source, ::geteuid(), read_fuse_conf(), what);
        if (!plan) return plan.error();
        prepared.spec.way = Way::fusermount;
        return {};
    }
    auto device = open_fuse_device(what);
    if (!device) return device.error();
    auto mount =
        make_detached_mount(plan_fuse_mount(prepared.request.options, source), device->get(), what);
    if (!mount) return mount.error();
    prepared.descriptors = {std::move(*device), std::move(*mount), core::Fd()};
    if (target) prepared.descriptors.directory = std::move(target->directory);
    return {};
}

/// Each call in the name of its process means that the kernel checks every access: only whoever
/// makes the mount here, as root, knows that it does.
core::Outcome<void> check_caller_identity(
    const MountArguments& arguments, const config::MountRequest& request
) {
    if (request.options.identity != config::IdentityMode::caller) return {};
    const auto what = cannot_mount(request.source.display(), arguments.mountpoint);
    if (::geteuid() != 0) {
        return core::Failure{
            EPERM,
            what +
                "identity=caller speaks for every user of this machine; run as root, or use "
                "uid= and gid="};
    }
    if (inherited_device(arguments.mountpoint)) {
        return core::Failure{
            EINVAL,
            what +
                "identity=caller needs a mount made here with default_permissions; give a "
                "directory instead of a descriptor"};
    }
    return {};
}

/// errno of what stands in the way of recovery files there; 0: nothing. Found out when bytes are to
/// be kept, it would be too late.
int recovery_obstacle(std::string path) {
    if (!path.starts_with('/')) return ENOENT;  // below a directory that was removed
    if (::access(path.c_str(), F_OK) == 0 || errno != ENOENT) {
        const auto opened = open_recovery_directory(path);
        return opened ? 0 : opened.error().code;
    }
    // It is made when it is needed: a mount that fails leaves nothing behind.
    while (::access(path.c_str(), F_OK) != 0 && path.size() > 1) {
        path.erase(std::max<std::size_t>(path.rfind('/'), 1));
    }
    return ::faccessat(AT_FDCWD, path.c_str(), W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

core::Outcome<void> check_recovery_directory(
    const MountArguments& arguments, const config::MountRequest& request
) {
    if (arguments.recovery_directory.empty()) return {};
    const auto path = absolute_path(arguments.recovery_directory);
    const int code = recovery_obstacle(path);
    if (code == 0) return {};
    return core::Failure{
        code,
        fmt::format(
            "{}--recovery-directory={} cannot be used: {}; {}",
            cannot_mount(request.source.display(), arguments.mountpoint),
            printable(path),
            describe_errno(code),
            code == EPERM ? "give a directory that is yours and that nobody else may write to"
                          : "give another directory"
        )};
}

/// Where nobody has chosen a directory, a mount without one is better than none.
void warn_of_no_recovery(const MountArguments& arguments, Console& console) {
    if (!arguments.recovery_directory.empty()) return;
    const auto path = default_recovery_directory();
    const int code = recovery_obstacle(path);
    if (code == 0) return;
    console.complain(fmt::format(
        "warning: bytes that the server does not take before the mount ends could not be kept in "
        "{}: {}; give --recovery-directory",
        printable(path),
        describe_errno(code)
    ));
}

core::Outcome<Prepared> prepare(const MountArguments& arguments, config::MountRequest request) {
    if (auto fits = check_caller_identity(arguments, request); !fits) return fits.error();
    if (auto fits = check_recovery_directory(arguments, request); !fits) return fits.error();
    Prepared prepared{{}, std::move(request), {}};
    auto& spec = prepared.spec;
    spec.source = arguments.source;
    spec.options = arguments.options;
    spec.mountpoint = arguments.mountpoint;
    spec.stay = arguments.stay;
    spec.worker_memory = arguments.worker_memory;
    spec.recovery = arguments.recovery_directory.empty()
                        ? default_recovery_directory()
                        : absolute_path(arguments.recovery_directory);
    spec.worker_group = arguments.worker_group;
    spec.write_behind_limit = arguments.write_behind_limit;
    spec.identity_source = arguments.identity_source;
    spec.since = utc_time(std::chrono::system_clock::now());
    if (const auto fd = inherited_device(arguments.mountpoint)) {
        auto device = take_inherited_device(
            *fd, cannot_mount(prepared.request.source.display(), arguments.mountpoint)
        );
        if (!device) return device.error();
        prepared.descriptors.fuse = std::move(*device);
        spec.way = Way::inherited;
    } else if (auto made = make_mount(prepared, arguments.mountpoint); !made) {
        return made.error();
    }
    if (::geteuid() == 0 && arguments.worker_user.empty()) {
        spec.worker_user = find_service_user();
    } else if (!arguments.worker_user.empty()) {
        spec.worker_user = find_user(arguments.worker_user.c_str());
    }
    return prepared;
}

core::Failure keeper_trouble(const Prepared& prepared, const std::string& why) {
    return {
        EIO,
        cannot_mount(prepared.request.source.display(), prepared.spec.mountpoint) +
            fmt::format("the keeper process {}; see the log", why)};
}

/// How long a keeper may take with its first word: with bg after one try.
core::SteadyDuration longest_start(const config::MountOptions& options) {
    constexpr std::chrono::seconds kMargin(5);
    const auto one_try = mount_deadline(options) + kMargin;
    if (options.when == config::When::background) return one_try;
    return config::retry_window(options) + one_try;
}

struct Started {
    pid_t keeper;
    std::string still_trying;  ///< with bg; empty: it is mounted
};

/// Hands everything to a keeper in the background. Returns once the mount is there, or, with bg,
/// once the keeper goes on trying; otherwise no process is left.
core::Outcome<Started> mount_in_background(Prepared prepared, Console& console) {
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
    std::vector<int> fds;
    const auto& held = prepared.descriptors;
    for (const auto* fd : {&held.fuse, &held.mount, &held.directory}) {
        if (*fd) fds.push_back(fd->get());
    }
    static_cast<void>(ours.send(prepared.spec.encode(), fds)
    );  // a keeper that does not listen ends the channel
    // It holds them now; an open detached mount here would keep the mount busy.
    prepared.descriptors = {};

    core::Failure failure{EIO, ""};
    for (const auto deadline = now() + longest_start(prepared.request.options);;) {
        auto received = ours.receive_until(deadline);
        if (!received) {
            failure = keeper_trouble(
                prepared,
                received.error().code() == ETIMEDOUT ? "does not answer" : "ended unexpectedly"
            );
            break;
        }
        auto verdict = read_verdict(received->message);
        if (verdict.is == Verdict::Is::mounted) return Started{keeper->pid(), {}};
        if (verdict.is == Verdict::Is::in_background) {
            return Started{keeper->pid(), std::move(verdict.text)};
        }
        if (verdict.is == Verdict::Is::failed) {
            failure = std::move(verdict.failure);
            break;
        }
        // Only for whoever sits there: a script wants one error.
        if (::isatty(STDERR_FILENO)) console.complain(verdict.text);
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
    // The keeper attaches nothing once this process is gone.
    if (arguments.end_with != 0 &&
        (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::getppid() != arguments.end_with)) {
        console.complain("uidnfs mount: --end-with: that is not its parent, or it ended");
        return kExitFailed;
    }
    if (arguments.ready_fd && ::fcntl(*arguments.ready_fd, F_GETFD) < 0) {
        console.complain(fmt::format(
            "uidnfs mount: --ready-fd {}: that descriptor is not open; see uidnfs mount --help",
            *arguments.ready_fd
        ));
        return kExitUsage;
    }
    if (asks_remount(arguments.options)) return run_remount(arguments, console);
    auto request = config::parse_mount_request(arguments.source, arguments.options);
    if (!request) {
        console.complain(request.error().user_text);
        return kExitUsage;
    }
    for (const auto& warning : request->warnings) console.complain("warning: " + warning);
    if (const auto& user = arguments.worker_user;
        !user.empty() && (::geteuid() != 0 || !find_user(user.c_str()))) {
        console.complain(fmt::format(
            "uidnfs mount: --worker-user {}: {}",
            printable(user),
            ::geteuid() != 0 ? "only root can choose it; leave it out"
                             : "there is no such user; create it, or choose another"
        ));
        return kExitUsage;
    }
    auto prepared = prepare(arguments, std::move(*request));
    if (!prepared) {
        console.complain(prepared.error().user_text);
        return kExitFailed;
    }
    if (prepared->request.options.read_only == config::Switch::off) {
        warn_of_no_recovery(arguments, console);
    }
    if (arguments.stay == Stay::foreground) {
        if (auto logging = configure_log(prepared->spec, prepared->request); !logging) {
            console.complain(logging.error().user_text);
            return kExitFailed;
        }
        control::ignore_signals();  // as begin_role() does
        lift_limit_of_files();
        ConsoleStarter starter(console, arguments.ready_fd);
        Keeper keeper(
            std::move(prepared->spec),
            std::move(prepared->request),
            std::move(prepared->descriptors),
            starter
        );
        return keeper.run();
    }
    const auto started = mount_in_background(std::move(*prepared), console);
    if (!started) {
        console.complain(started.error().user_text);
        return kExitFailed;
    }
    if (!started->still_trying.empty()) {
        console.complain(started->still_trying);
    } else if (arguments.ready_fd) {
        write_ready(*arguments.ready_fd);
    }
    core::notify_service_manager(fmt::format("MAINPID={}\nREADY=1", started->keeper));
    return kExitDone;
}

}  // namespace uidnfs::app
