// SPDX-License-Identifier: Apache-2.0
// WorkerGroups: a control group (version 2) for each volume's worker, so that all its memory
// counts, its part of the arena too, and its end is nobody else's. Only where the service manager
// gave us a tree and put us into a child of it (kOwnGroup, DelegateSubgroup= in the unit): a group
// that has processes of its own can have no limited children. The keeper stays in that child. Root;
// the mounter's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace uidnfs::plugins::mounter {

/// The child that the daemon, its mounter and the keepers are in.
inline constexpr std::string_view kOwnGroup = "uidnfsd-daemon";

/// What a worker's memory is in all: what it takes for itself, what it may hold for the server, and
/// room for its tables in the arena and for requests under way (256 of 1 MiB).
std::uint64_t group_limit(std::uint64_t worker_memory, std::uint64_t write_behind) noexcept;

class WorkerGroups {
public:
    /// No groups.
    WorkerGroups() = default;
    /// `root` is where version 2 is mounted; `own` is the path in /proc/self/cgroup ("0::PATH").
    WorkerGroups(std::string_view root, std::string_view own);
    /// Those of this process.
    static WorkerGroups find();

    bool are_there() const noexcept { return !tree_.empty(); }

    /// Begins to use them: the memory of children counts, and empty ones that are left are removed.
    /// Without them, or where it cannot be done, there are none.
    void prepare();

    /// A group for the worker of the volume with that directory_name(), whose processes may have
    /// `bytes` together; its absolute path. Nothing where there are none.
    std::optional<std::string> make(std::string_view directory, std::uint64_t bytes);
    /// While a process is in it that is put off until the next remove(): names of volumes may be
    /// ever new ones.
    void remove(std::string_view directory);

private:
    std::string path_of(std::string_view directory) const;

    std::string tree_;  // the group that is ours to divide; empty: none
    std::set<std::string, std::less<>> put_off_;  // directories
};

}  // namespace uidnfs::plugins::mounter
