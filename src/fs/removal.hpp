// SPDX-License-Identifier: Apache-2.0
// Removal: a name of a file goes, or a silly name of a directory; whoever opens the one or removes
// the other waits for that. So does who opens a file whose names are not known while a name goes
// whose file is not (after a take-over). Lives in the coroutine that removes; reactor's thread
// only.
#pragma once

#include "core/event.hpp"
#include "fs/inode.hpp"

#include <algorithm>
#include <list>
#include <optional>
#include <string>
#include <utility>

namespace uidnfs::fs {

struct Removals {
    explicit Removals(core::Reactor& reactor) : ended(reactor) {}
    core::Event ended;  ///< the last one of an inode, or one of an unknown file
    /// Names that go, of which nobody here knew whose they are.
    struct Blind {
        InodeId parent;
        std::string name;
    };
    std::list<Blind> blind;

    /// Whether one of the names of `inode` may be going.
    bool may_concern(const Inode& inode) const {
        if (inode.removals > 0) return true;
        return std::any_of(blind.begin(), blind.end(), [&](const Blind& going) {
            return inode.names.empty() ||
                   std::any_of(inode.names.begin(), inode.names.end(), [&](const auto& known) {
                       return known.parent == going.parent && known.name == going.name;
                   });
        });
    }
};

class Removal {
public:
    Removal(Removals& all, InodeRef inode) : all_(all), inode_(std::move(inode)) {
        ++inode_->removals;
    }
    /// `inode`: nothing where it is not known.
    Removal(Removals& all, InodeRef inode, const Inode& parent, const std::string& name)
        : all_(all), inode_(std::move(inode)) {
        if (inode_) {
            ++inode_->removals;
        } else {
            blind_ = all_.blind.insert(all_.blind.end(), {parent.id, name});
        }
    }
    Removal(const Removal&) = delete;
    Removal& operator=(const Removal&) = delete;
    ~Removal() {
        if (blind_) all_.blind.erase(*blind_);
        if (blind_ || --inode_->removals == 0) all_.ended.notify_all();
    }

private:
    Removals& all_;
    InodeRef inode_;
    std::optional<std::list<Removals::Blind>::iterator> blind_;
};

}  // namespace uidnfs::fs
