// SPDX-License-Identifier: Apache-2.0
// Glue: what a trampoline finds behind libfuse's user data. A part of the Session; reactor's
// thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "core/buffer.hpp"
#include "core/progress.hpp"
#include "core/reactor.hpp"
#include "core/slots.hpp"
#include "fs/options.hpp"
#include "fuse/caller_groups.hpp"
#include "fuse/caller_watch.hpp"
#include "fuse/notifier.hpp"
#include "fuse/proc_files.hpp"
#include "fuse/requests.hpp"

namespace uidnfs::fuse {

struct Glue {
    fs::Operations& filesystem;
    fs::IdentityMode identity;
    ProcFiles proc;
    Requests requests;
    CallerWatch watch;
    CallerGroups groups;
    std::shared_ptr<core::BufferPool> listing_blocks;
    core::Reactor& reactor;
    const Notifier* notifier;  ///< outlives all operations; nullptr: nothing is ever dropped

    // The request being dispatched; trampolines read it before they return.
    RequestInfo info = {};
    core::Slot* slot = nullptr;
    std::span<const std::byte> bytes = {};
    core::Progress progress = {};

    /// The data of the answer that libfuse is being given, where it may be in a pipe.
    const core::Slice* piped = nullptr;
};

}  // namespace uidnfs::fuse
