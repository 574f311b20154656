// SPDX-License-Identifier: Apache-2.0
#include "control/spawn.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace uidnfs::control {
namespace {

constexpr const char* kSelf = "/proc/self/exe";

class FileActions {
public:
    FileActions() { ::posix_spawn_file_actions_init(&actions_); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;
    ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
    posix_spawn_file_actions_t* get() noexcept { return &actions_; }

private:
    posix_spawn_file_actions_t actions_;
};

class Attributes {
public:
    Attributes() {
        ::posix_spawnattr_init(&attributes_);
        sigset_t none;
        sigset_t all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        // What is ignored by a daemon is by what it has started: one that is sent to all of them
        // would end a mount that is being made.
        ::sigdelset(&all, SIGHUP);
        ::posix_spawnattr_setsigmask(&attributes_, &none);
        ::posix_spawnattr_setsigdefault(&attributes_, &all);
        ::posix_spawnattr_setflags(
            &attributes_, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        );
    }
    Attributes(const Attributes&) = delete;
    Attributes& operator=(const Attributes&) = delete;
    ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
    const posix_spawnattr_t* get() const noexcept { return &attributes_; }

private:
    posix_spawnattr_t attributes_;
};

// <sys/pidfd.h> of glibc 2.36 declares these for C only.
void send_kill(int pidfd) { ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0); }

std::string describe_end(const siginfo_t& info) {
    if (info.si_code == CLD_EXITED) return fmt::format("exit status {}", info.si_status);
    return fmt::format("killed by signal {} ({})", info.si_status, ::strsignal(info.si_status));
}

}  // namespace

std::optional<std::string> Child::try_reap() {
    if (end_) return end_;
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) != 0) {
        pollfd wait{pidfd_.get(), POLLIN, 0};
        if (errno == ECHILD && ::poll(&wait, 1, 0) == 1) end_ = "unknown end";
        return end_;
    }
    if (info.si_pid == 0) return end_;
    end_ = describe_end(info);
    if (info.si_code == CLD_EXITED) exit_status_ = info.si_status;
    if (info.si_code == CLD_EXITED || info.si_status != SIGKILL) how_ = How::by_itself;
    return end_;
}

void Child::kill() { kill_within(1000); }

void Child::kill_soon() { kill_within(100); }

void Child::kill_within(int milliseconds) {
    if (try_reap()) return;
    send_kill(pidfd_.get());
    pollfd wait{pidfd_.get(), POLLIN, 0};
    while (::poll(&wait, 1, milliseconds) < 0 && errno == EINTR) {
    }
    try_reap();
}

core::Result<core::Fd> open_pidfd(pid_t pid) {
    core::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) return core::Error(errno);
    return pidfd;
}

core::Result<Child> spawn(const Program& program) {
    FileActions files;
    ::posix_spawn_file_actions_addopen(files.get(), 0, "/dev/null", O_RDONLY, 0);
    if (program.output < 0) {
        ::posix_spawn_file_actions_addopen(files.get(), 2, "/dev/null", O_WRONLY, 0);
    } else {
        ::posix_spawn_file_actions_adddup2(files.get(), program.output, 2);
    }
    ::posix_spawn_file_actions_adddup2(files.get(), 2, 1);
    int first_closed = kChannelDescriptor;
    if (program.channel >= 0) {
        ::posix_spawn_file_actions_adddup2(files.get(), program.channel, kChannelDescriptor);
        ++first_closed;
    }
    ::posix_spawn_file_actions_addclosefrom_np(files.get(), first_closed);
    const Attributes attributes;
    const auto pointers = [](const std::vector<std::string>& words) {
        std::vector<char*> out;
        for (const auto& word : words) out.push_back(const_cast<char*>(word.c_str()));
        out.push_back(nullptr);
        return out;
    };
    const auto argv = pointers(program.arguments);
    const auto environment = pointers(program.environment);

    pid_t pid = -1;
    const int error = ::posix_spawn(
        &pid, program.path.c_str(), files.get(), attributes.get(), argv.data(), environment.data()
    );
    if (error != 0) return core::Error(error);
    auto pidfd = open_pidfd(pid);
    if (!pidfd) {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        return pidfd.error();
    }
    return Child(pid, std::move(*pidfd));
}

namespace {

core::Result<Child> spawn_role(
    std::string path, const std::vector<std::string>& arguments, int channel, Output output
) {
    Program program{std::move(path), arguments, channel};
    if (output != Output::none) {
        program.output = STDERR_FILENO;
        // The log asks for it: whether standard error is the journal.
        if (const char* journal = std::getenv("JOURNAL_STREAM")) {
            program.environment.push_back(std::string("JOURNAL_STREAM=") + journal);
        }
    }
    return spawn(program);
}

}  // namespace

core::Result<Child> spawn_self(
    const std::vector<std::string>& arguments, int channel, Output output
) {
    return spawn_role(kSelf, arguments, channel, output);
}

core::Result<Child> spawn_version(
    int program, const std::vector<std::string>& arguments, int channel, Output output
) {
    // Ours, for the child's own is closed by then.
    return spawn_role(
        fmt::format("/proc/{}/fd/{}", ::getpid(), program), arguments, channel, output
    );
}

}  // namespace uidnfs::control
