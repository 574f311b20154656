// SPDX-License-Identifier: Apache-2.0
// PageWatch: asks the server about open files whose pages the kernel may hold, once their
// attributes are too old to be believed. The kernel does not say when somebody uses a page that it
// has, so nobody else would ask (docs/decisions/0011). Owned by Filesystem; reactor's thread only.
#pragma once

#include "core/clock.hpp"
#include "core/reactor.hpp"
#include "core/task.hpp"
#include "fs/inode.hpp"
#include "nfs/client.hpp"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

namespace uidnfs::fs {

class PageWatch {
public:
    struct Deps {
        core::Reactor& reactor;
        nfs::Client& client;
        const core::Clock& clock;
        /// GETATTR, and what follows from a change.
        std::function<core::Task<core::Result<nfs::Attr>>(nfs::CallContext, InodeRef)> ask;
        /// What the kernel has of it is not known to be right any more.
        std::function<void(const InodeRef&)> drop;
    };
    // What many open files may cost: 200 calls a second.
    static constexpr std::size_t kPerTurn = 20;  ///< and at most as many under way
    static constexpr auto kTurn = std::chrono::milliseconds(100);

    explicit PageWatch(Deps deps);
    PageWatch(const PageWatch&) = delete;
    PageWatch& operator=(const PageWatch&) = delete;
    ~PageWatch() { *self_ = nullptr; }

    /// The kernel gets pages of this file, or keeps those it has. `context`: in whose name the
    /// server may be asked.
    void note(const InodeRef& inode, const nfs::CallContext& context) {
        inode->in_kernel = InKernel::perhaps;
        if (inode->watched == Watched::no) watch(inode, context);
    }
    /// Nothing is asked any more: the kernel is gone, and all pages with it.
    void stop();

private:
    struct Entry {
        core::SteadyTime due;
        InodeRef inode;
        nfs::CallContext context;
        /// For a heap whose first is due first.
        bool operator<(const Entry& other) const noexcept { return due > other.due; }
    };

    void watch(const InodeRef& inode, const nfs::CallContext& context);
    void push(Entry entry, core::SteadyDuration in);
    /// Whether nobody has the file open any more, or the kernel has no pages of it.
    bool dismiss(const InodeRef& inode) const noexcept;
    void arm();
    void turn();
    core::Task<void> ask(Entry entry);

    Deps deps_;
    boost::asio::steady_timer timer_;
    std::vector<Entry> heap_;
    std::size_t in_flight_ = 0;
    core::SteadyTime next_turn_;  ///< not earlier
    core::SteadyTime armed_for_;
    enum class State : std::uint8_t { idle, armed, stopped } state_ = State::idle;
    std::shared_ptr<PageWatch*> self_;  // a timer that is due checks that we still live
};

}  // namespace uidnfs::fs
