// SPDX-License-Identifier: Apache-2.0
// DaemonHealth: whether the daemon itself can work, for /healthz. Says nothing about NFS servers.
// Lives on the reactor's thread; owned by main().
#pragma once

#include "core/error.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace uidnfs::plugins {

/// Whether something new can be kept in `directory`: writes a block to a file without name, which
/// nobody sees. Does not wait for the disk.
core::Outcome<void> check_can_keep(const std::string& directory);

class DaemonHealth {
public:
    /// `directories`: of state and of live records.
    explicit DaemonHealth(std::vector<std::string> directories)
        : directories_(std::move(directories)) {}

    /// It never comes back.
    void mounter_gone() { mounter_ = Mounter::gone; }
    /// Of some volumes the state cannot be understood; the others are served.
    void set_damaged_files(std::size_t files) { damaged_files_ = files; }

    /// The first reason why not, with what to do. It may work and have something to say: "" else.
    core::Outcome<std::string> check() const;

private:
    std::vector<std::string> directories_;
    std::size_t damaged_files_ = 0;
    enum class Mounter : bool { there, gone } mounter_ = Mounter::there;
};

}  // namespace uidnfs::plugins
