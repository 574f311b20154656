// SPDX-License-Identifier: Apache-2.0
// NameLocks: names that calls of ours make, remove or move. The kernel has one such call at a time
// in a directory, until the caller of one is killed: then the call goes on without it, and the next
// one must wait, or the server may do them the other way round. Reactor's thread only.
#pragma once

#include "core/event.hpp"
#include "core/task.hpp"
#include "fs/types.hpp"

#include <optional>
#include <set>
#include <string>
#include <utility>

namespace uidnfs::fs {

class NameLocks {
public:
    using Name = std::pair<InodeId, std::string>;  ///< directory, name

    explicit NameLocks(core::Reactor& reactor) : freed_(reactor) {}

    /// Lives in the coroutine that changes the names.
    class [[nodiscard]] Lock {
    public:
        using Held = std::set<Name>::iterator;
        Lock(NameLocks& all, Held name, std::optional<Held> other) noexcept
            : all_(&all), name_(name), other_(other) {}
        Lock(Lock&& lock) noexcept
            : all_(std::exchange(lock.all_, nullptr)), name_(lock.name_), other_(lock.other_) {}
        Lock& operator=(Lock&&) = delete;
        ~Lock() {
            if (!all_) return;
            all_->held_.erase(name_);
            if (other_) all_->held_.erase(*other_);
            all_->freed_.notify_all();
        }

    private:
        NameLocks* all_;
        Held name_;
        std::optional<Held> other_;
    };

    /// Waits until nobody changes the name, or either of the two, which may be the same.
    core::Task<Lock> lock(Name name, std::optional<Name> other = {}) {
        while (held_.contains(name) || (other && held_.contains(*other))) co_await freed_.wait();
        const auto held = held_.insert(std::move(name)).first;
        std::optional<Lock::Held> second;
        if (other) {
            const auto [place, is_another] = held_.insert(std::move(*other));
            if (is_another) second = place;
        }
        co_return Lock(*this, held, second);
    }

private:
    core::Event freed_;  ///< some name
    std::set<Name> held_;
};

}  // namespace uidnfs::fs
