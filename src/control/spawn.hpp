// SPDX-License-Identifier: Apache-2.0
// Starts programs by posix_spawn(3), most of all this one again in another role: nothing of ours
// runs between fork and exec. The new process has an empty environment, a session of its own,
// default signals, /dev/null as standard input, and at most one descriptor beyond the standard
// ones: its channel.
#pragma once

#include "core/error.hpp"
#include "core/fd.hpp"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::control {

/// The descriptor on which a spawned process finds its channel.
inline constexpr int kChannelDescriptor = 3;

enum class Output : std::uint8_t {
    none,            ///< /dev/null
    standard_error,  ///< both standard output and standard error go where ours goes
};

class Child {
public:
    Child(pid_t pid, core::Fd pidfd) noexcept : pid_(pid), pidfd_(std::move(pidfd)) {}

    pid_t pid() const noexcept { return pid_; }
    /// Readable once it has ended.
    int pidfd() const noexcept { return pidfd_.get(); }
    /// After its end, of its exit(3); nothing when that was none, or somebody else's child.
    std::optional<int> exit_status() const noexcept { return exit_status_; }
    /// After its end: it was by SIGKILL, or nobody knows how.
    bool was_killed() const noexcept { return how_ == How::killed; }

    /// "killed by signal 11 (Segmentation fault)", "exit status 1"; nothing while it runs. Reaps.
    /// Of a process that is somebody else's child only that it has ended is known.
    std::optional<std::string> try_reap();
    /// SIGKILL, and reaps it if it ends within a second (a thread of it may be stuck in the
    /// kernel).
    void kill();
    /// SIGKILL; waits no longer than it takes to be off its processor, and reaps it if it has
    /// ended.
    void kill_soon();

private:
    void kill_within(int milliseconds);

    pid_t pid_;
    core::Fd pidfd_;
    std::optional<std::string> end_;
    enum class How : std::uint8_t { by_itself, killed } how_ = How::killed;
    std::optional<int> exit_status_;
};

/// Errors: errno of pidfd_open(2).
core::Result<core::Fd> open_pidfd(pid_t pid);

struct Program {
    std::string path;                    ///< absolute
    std::vector<std::string> arguments;  ///< its name first
    int channel = -1;                    ///< becomes kChannelDescriptor; -1: none
    int output = -1;                     ///< standard output and standard error; -1: /dev/null
    std::vector<std::string> environment = {};
};

/// Errors: errno of posix_spawn(3), pidfd_open(2).
core::Result<Child> spawn(const Program& program);

/// `arguments` are what ps(1) shows, the program's name first. Errors: errno of posix_spawn(3).
core::Result<Child> spawn_self(
    const std::vector<std::string>& arguments, int channel, Output output
);

/// As spawn_self(), but another version of this program: the executable that `program` is open on,
/// whatever has its path by now.
core::Result<Child> spawn_version(
    int program, const std::vector<std::string>& arguments, int channel, Output output
);

}  // namespace uidnfs::control
