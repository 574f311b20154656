// SPDX-License-Identifier: Apache-2.0
// Removal: a name of a file goes, or a silly name of a directory; whoever opens the one or removes
// the other waits for that. So does who opens a file whose names are not known while a name goes
// whose file is not (after a take-over). Lives in the coroutine that removes; reactor's thread
// only.
#pragma once

#include "core/event.hpp"
#include "fs/inode.hpp"

#include <cstdint>
#include <utility>

namespace uidnfs::fs {

struct Removals {
    explicit Removals(core::Reactor& reactor) : ended(reactor) {}
    core::Event ended;        ///< the last one of an inode, or of unknown ones
    std::uint32_t blind = 0;  ///< of names of which nobody here knows whose they are
};

class Removal {
public:
    /// `inode`: nothing where it is not known.
    Removal(Removals& all, InodeRef inode) : all_(all), inode_(std::move(inode)) { ++count(); }
    Removal(const Removal&) = delete;
    Removal& operator=(const Removal&) = delete;
    ~Removal() {
        if (--count() == 0) all_.ended.notify_all();
    }

private:
    std::uint32_t& count() noexcept { return inode_ ? inode_->removals : all_.blind; }

    Removals& all_;
    InodeRef inode_;
};

}  // namespace uidnfs::fs
