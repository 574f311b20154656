// SPDX-License-Identifier: Apache-2.0
#include "app/process.hpp"

#include "app/names.hpp"
#include "control/signals.hpp"
#include "core/fd.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "core/user.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace uidnfs::app {
namespace {

/// What is free at the end of the heap beyond this goes back to the system at once, and everything
/// that is free once the mount has nothing to do. Pieces from this size on are not of the heap.
/// Less would map the same pages again and again, for each listing of a directory.
constexpr int kTrimThreshold = 1 << 20;
constexpr int kMmapThreshold = 1 << 20;

core::Result<void> check(long result) {
    if (result < 0) return core::Error(errno);
    return {};
}

/// Permitted and effective are `mask`, nothing is inheritable.
core::Result<void> set_capabilities(std::uint32_t mask) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
    data[0].permitted = mask;
    data[0].effective = mask;
    return check(::syscall(SYS_capset, &header, data.data()));
}

std::uint32_t permitted_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
    if (::syscall(SYS_capget, &header, data.data()) != 0) return 0;
    return data[0].permitted;
}

/// What no program started from here could get back. Older kernels know fewer: EINVAL ends the
/// list.
void empty_bounding_set() {
    for (unsigned long capability = 0; capability < 64; ++capability) {
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return;
    }
}

core::Result<void> become(const ServiceUser& user, std::uint32_t capabilities) {
    if (capabilities != 0) {
        if (auto kept = check(::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)); !kept) return kept;
    }
    empty_bounding_set();
    if (auto done = check(::setgroups(0, nullptr)); !done) return done;
    if (auto done = check(::setresgid(user.gid, user.gid, user.gid)); !done) return done;
    if (auto done = check(::setresuid(user.uid, user.uid, user.uid)); !done) return done;
    return set_capabilities(capabilities);
}

void join_group(const std::string& directory) {
    const core::Fd processes(::open((directory + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    // "0" is whoever writes it.
    if (processes && ::write(processes.get(), "0", 1) == 1) return;
    core::log::warning(
        "the worker's memory is bounded without {}: {}", directory, core::describe_errno(errno)
    );
}

}  // namespace

void lift_limit_of_files() {
    rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &limit) == 0 || ::getrlimit(RLIMIT_FSIZE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_FSIZE, &limit);
}

core::Result<void> begin_role(const char* role) {
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(kChannelDescriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
        type != SOCK_SEQPACKET) {
        return core::Error(EBADF);
    }
    // The kernel would show "exe", the name that was executed.
    ::prctl(PR_SET_NAME, fmt::format("uidnfs-{}", role).c_str(), 0, 0, 0);
    if (::chdir("/") != 0) return core::Error(errno);
    ::umask(077);
    control::ignore_signals();
    lift_limit_of_files();
    ::mallopt(M_ARENA_MAX, 1);
    ::mallopt(M_TRIM_THRESHOLD, kTrimThreshold);
    ::mallopt(M_MMAP_THRESHOLD, kMmapThreshold);
    return {};
}

core::Outcome<void> configure_log(const MountSpec& spec, const config::MountRequest& request) {
    core::log::Options options;
    options.level = request.options.log_level;
    options.prefix = fmt::format("{} on {}: ", request.source.display(), spec.mountpoint);
    options.file = request.options.log_file;
    if (!options.file.empty()) {
        options.destination = core::log::Destination::file;
    } else if (spec.stay == Stay::background) {
        options.destination = core::log::Destination::system;
    }
    return core::log::configure(options);
}

std::optional<ServiceUser> find_user(const char* name) {
    const auto user = core::find_user(name);
    if (!user) return std::nullopt;
    return ServiceUser{user->uid, user->gid};
}

core::Result<void> give_up_privileges(const MountSpec& spec, ReservedPort port) {
    if (!spec.worker_group.empty()) join_group(spec.worker_group);
    if (auto done = check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); !done) return done;
    const rlimit no_core{0, 0};
    if (auto done = check(::setrlimit(RLIMIT_CORE, &no_core)); !done) return done;
    if (spec.worker_memory != 0) {
        const rlimit memory{spec.worker_memory, spec.worker_memory};
        if (auto done = check(::setrlimit(RLIMIT_DATA, &memory)); !done) return done;
    }
    const std::uint32_t capabilities =
        port == ReservedPort::wanted ? 1u << CAP_NET_BIND_SERVICE : 0;
    if (spec.worker_user) {
        if (auto done = become(*spec.worker_user, capabilities); !done) return done;
    } else {
        // A user, or root of a user namespace: what it does not have it cannot keep.
        empty_bounding_set();
        if (auto done = set_capabilities(capabilities & permitted_capabilities()); !done) {
            return done;
        }
    }
    return check(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}

}  // namespace uidnfs::app
