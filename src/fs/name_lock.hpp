// SPDX-License-Identifier: Apache-2.0
// NameLock: a name that a call of ours makes, removes or moves. The kernel has one such call at a
// time in a directory, until the caller of one is killed: then the call goes on without it, and the
// next one must wait, or the server may do them the other way round. Lives in the coroutine that
// changes the name; reactor's thread only.
#pragma once

#include "core/event.hpp"
#include "fs/types.hpp"

#include <set>
#include <string>
#include <utility>

namespace uidnfs::fs {

struct NameLocks {
    explicit NameLocks(core::Reactor& reactor) : freed(reactor) {}
    core::Event freed;  ///< some name
    std::set<std::pair<InodeId, std::string>> held;

    bool is_held(InodeId parent, const std::string& name) const {
        return held.contains({parent, name});
    }
};

class NameLock {
public:
    /// REQUIRES: the name is free.
    NameLock(NameLocks& all, InodeId parent, const std::string& name)
        : all_(all), held_(all.held.emplace(parent, name).first) {}
    NameLock(const NameLock&) = delete;
    NameLock& operator=(const NameLock&) = delete;
    ~NameLock() {
        all_.held.erase(held_);
        all_.freed.notify_all();
    }

private:
    NameLocks& all_;
    std::set<std::pair<InodeId, std::string>>::iterator held_;
};

}  // namespace uidnfs::fs
