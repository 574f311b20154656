// SPDX-License-Identifier: Apache-2.0
// Worker::Mount: what a worker builds for its mount, in the order in which the parts stand on each
// other. For worker*.cpp only.
#pragma once

#include "app/mount_memory.hpp"
#include "app/worker.hpp"
#include "fuse/in_flight.hpp"

#include <fcntl.h>

#include <functional>

namespace uidnfs::app {

inline core::Fd duplicate(int fd) { return core::Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

struct Worker::Mount {
    std::unique_ptr<nfs::Client> client;
    std::function<void(const nfs::MountParameters&)> set_terms;
    nfs::CallContext context;
    core::Arena arena;
    ClientMemory client_memory{arena};
    fuse::SessionMemory session_memory{arena};
    fuse::Notifier notifier;
    fs::Filesystem filesystem;
    std::unique_ptr<fuse::Session> session;

    Mount(
        nfs::MountedExport exported,
        fs::Options options,
        core::Arena memory,
        core::Fd notifications,
        core::Reactor& reactor,
        const core::Clock& clock
    )
        : client(std::move(exported.client)),
          set_terms(std::move(exported.set_terms)),
          context{options.credential},
          arena(std::move(memory)),
          notifier(std::move(notifications)),
          filesystem(
              {reactor, *client, arena, clock, notifier}, std::move(options), exported.root_attr
          ) {}
};

}  // namespace uidnfs::app
