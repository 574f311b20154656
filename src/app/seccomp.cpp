// SPDX-License-Identifier: Apache-2.0
#include "app/seccomp.hpp"

#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

namespace uidnfs::app {
namespace {

/// Names of syscalls(2); one that an architecture does not have is left out there.
constexpr const char* kAllowed[] = {
    // Files: the device, the log, /proc, what resolves names.
    "read",
    "readv",
    "pread64",
    "preadv",
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "close",
    "close_range",
    "lseek",
    "open",
    "openat",
    "fstat",
    "newfstatat",
    "stat",
    "lstat",
    "statx",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "getdents64",
    "flock",
    "dup",
    "dup2",
    "dup3",
    "pipe2",
    "splice",
    "tee",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "memfd_create",
    "getcwd",
    "umask",
    "fstatfs",
    "statfs",
    // Sockets; their families are below.
    "socketpair",
    "connect",
    "bind",
    "listen",
    "accept4",
    "getsockname",
    "getpeername",
    "setsockopt",
    "getsockopt",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "shutdown",
    // Waiting.
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "eventfd2",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_gettime",
    "nanosleep",
    "clock_nanosleep",
    "clock_gettime",
    "clock_getres",
    "gettimeofday",
    "time",
    "restart_syscall",
    // Memory and threads.
    "mmap",
    "munmap",
    "mprotect",
    "mremap",
    "madvise",
    "brk",
    "msync",
    "mincore",
    "membarrier",
    "futex",
    "set_robust_list",
    "get_robust_list",
    "rseq",
    "set_tid_address",
    "sched_yield",
    "sched_getaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "getcpu",
    "arch_prctl",
    // Itself.
    "getpid",
    "getppid",
    "gettid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getgroups",
    "getresuid",
    "getresgid",
    "getrandom",
    "getrusage",
    "getrlimit",
    "prctl",
    "capget",
    "sysinfo",
    "uname",
    "times",
    "exit",
    "exit_group",
    // Signals that it gets.
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigpending",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "sigaltstack",
    "signalfd4",
};

/// Refused by name, so that whoever reads a trace sees that it is meant.
constexpr const char* kRefused[] = {
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
    "mount",
    "umount2",
    "fsopen",
    "fsmount",
    "move_mount",
    "open_tree",
    "pivot_root",
    "chroot",
    "setns",
    "setuid",
    "setgid",
    "setresuid",
    "setresgid",
    "setgroups",
    "capset",
    "bpf",
    "perf_event_open",
    "keyctl",
    "add_key",
    "request_key",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "open_by_handle_at",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "personality",
    "reboot",
    "swapon",
    "swapoff",
    "sethostname",
    "setdomainname",
    "iopl",
    "ioperm",
    "mknod",
    "mknodat",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "chmod",
    "fchmod",
    "fchmodat",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "rmdir",
    "truncate",
    "setxattr",
    "process_madvise",
    "seccomp",
};

/// AF_UNIX: the system's log and resolvers, of both kinds.
constexpr std::array kFamilies{AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};

/// Not F_SETOWN, F_SETOWN_EX and F_SETSIG: they let the kernel send any signal to any process of
/// the same user, which all workers are.
constexpr std::array kFcntl{
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_GETFD,
    F_SETFD,
    F_GETFL,
    F_SETFL,
    F_GETLK,
    F_SETLK,
    F_SETLKW,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_OFD_SETLKW,
    F_ADD_SEALS,
    F_GET_SEALS,
    F_GETPIPE_SZ,
    F_SETPIPE_SZ};

/// Not FIOSETOWN and SIOCSPGRP, which are F_SETOWN. The last one is for resolvers (link-local
/// addresses).
constexpr std::array<unsigned long, 6> kIoctl{
    FIONBIO, FIONREAD, FIOCLEX, TCGETS, FUSE_DEV_IOC_CLONE, SIOCGIFINDEX};

/// Threads and nothing else: no process, no namespace. glibc falls back from clone3(2), whose flags
/// a filter cannot see, when it is not there.
constexpr scmp_datum_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                     CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

int add(scmp_filter_ctx filter, std::uint32_t action, const char* name) {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) return 0;
    const int result = ::seccomp_rule_add(filter, action, number, 0);
    return result == -EDOM ? 0 : result;  // not on this architecture
}

/// Adds rules until one cannot be added; the first error is kept.
class Rules {
public:
    explicit Rules(scmp_filter_ctx filter) noexcept : filter_(filter) {}

    void allow(int call, scmp_arg_cmp condition) {
        if (error_ == 0) error_ = ::seccomp_rule_add(filter_, SCMP_ACT_ALLOW, call, 1, condition);
    }
    int error() const noexcept { return error_; }

private:
    scmp_filter_ctx filter_;
    int error_ = 0;
};

/// Calls that could do something to another process of the same user are left for the own one.
int allow_by_argument(scmp_filter_ctx filter) {
    Rules rules(filter);
    for (const int family : kFamilies) {
        rules.allow(SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(family)));
    }
    const auto self = static_cast<scmp_datum_t>(::getpid());
    rules.allow(SCMP_SYS(kill), SCMP_A0(SCMP_CMP_EQ, self));
    rules.allow(SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, self));
    rules.allow(SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_EQ, 0));
    rules.allow(SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_EQ, self));
    for (const int command : kFcntl) {
        rules.allow(SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, static_cast<scmp_datum_t>(command)));
    }
    for (const auto request : kIoctl) {
        rules.allow(SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, request));
    }
    // A thread's own table of descriptors (fuse/notifier.cpp); no namespace.
    rules.allow(SCMP_SYS(unshare), SCMP_A0(SCMP_CMP_EQ, CLONE_FILES));
    rules.allow(
        SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, kNamespaces | CLONE_THREAD, CLONE_THREAD)
    );
    return rules.error();
}

}  // namespace

core::Result<void> restrict_system_calls() {
    const std::unique_ptr<void, decltype(&::seccomp_release)> filter(
        ::seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), &::seccomp_release
    );
    if (!filter) return core::Error(ENOMEM);
    for (const char* name : kAllowed) {
        if (const int result = add(filter.get(), SCMP_ACT_ALLOW, name); result < 0) {
            return core::Error(-result);
        }
    }
    for (const char* name : kRefused) {
        if (const int result = add(filter.get(), SCMP_ACT_ERRNO(EPERM), name); result < 0) {
            return core::Error(-result);
        }
    }
    if (const int result = allow_by_argument(filter.get()); result < 0) return core::Error(-result);
    if (const int result = ::seccomp_load(filter.get()); result < 0) return core::Error(-result);
    return {};
}

}  // namespace uidnfs::app
