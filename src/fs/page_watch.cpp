// SPDX-License-Identifier: Apache-2.0
#include "fs/page_watch.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace uidnfs::fs {
namespace {

using namespace std::chrono_literals;

/// Also with noac, where attributes are never believed: reads ask by themselves there, and what is
/// left are mappings.
constexpr core::SteadyDuration kShortest = 1s;
/// However long attributes are believed: a closed file is not kept in mind for longer.
constexpr core::SteadyDuration kLongest = 60s;

}  // namespace

PageWatch::PageWatch(Deps deps)
    : deps_(std::move(deps)),
      timer_(deps_.reactor.io()),
      self_(std::make_shared<PageWatch*>(this)) {}

void PageWatch::stop() {
    state_ = State::stopped;
    timer_.cancel();
    heap_.clear();
}

void PageWatch::watch(const InodeRef& inode, const nfs::CallContext& context) {
    if (state_ == State::stopped) return;
    inode->watched = Watched::yes;
    push({{}, inode, context}, inode->attrs.remaining(deps_.clock.now()));
    arm();
}

void PageWatch::push(Entry entry, core::SteadyDuration in) {
    entry.due = deps_.clock.now() + std::clamp(in, kShortest, kLongest);
    heap_.push_back(std::move(entry));
    std::push_heap(heap_.begin(), heap_.end());
}

bool PageWatch::dismiss(const InodeRef& inode) const noexcept {
    if (inode->opens > 0 && inode->in_kernel == InKernel::perhaps) return false;
    inode->watched = Watched::no;
    return true;
}

void PageWatch::arm() {
    if (state_ == State::stopped || heap_.empty()) return;
    const auto at = std::max(heap_.front().due, next_turn_);
    if (state_ == State::armed && armed_for_ <= at) return;
    state_ = State::armed;
    armed_for_ = at;
    timer_.expires_after(at - deps_.clock.now());
    timer_.async_wait([self = self_](const boost::system::error_code& error) {
        if (!error && *self && (*self)->state_ == State::armed) (*self)->turn();
    });
}

void PageWatch::turn() {
    state_ = State::idle;
    const auto now = deps_.clock.now();
    if (heap_.front().due <= now && deps_.client.status().is_silent()) {
        next_turn_ = now + kShortest;
        arm();
        return;
    }
    next_turn_ = now + kTurn;
    std::size_t asked = 0;
    while (!heap_.empty() && heap_.front().due <= now && asked < kPerTurn && in_flight_ < kPerTurn
    ) {
        std::pop_heap(heap_.begin(), heap_.end());
        auto entry = std::move(heap_.back());
        heap_.pop_back();
        if (dismiss(entry.inode)) continue;
        const auto fresh = entry.inode->attrs.remaining(now);
        // The replies to our own WRITEs bring attributes.
        const bool is_written = entry.inode->file && !entry.inode->file->extents.empty();
        if (fresh > 0ms || is_written) {
            push(std::move(entry), fresh);
            continue;
        }
        ++asked;
        ++in_flight_;
        core::spawn(ask(std::move(entry)));
    }
    arm();
}

core::Task<void> PageWatch::ask(Entry entry) {
    auto asking = deps_.ask(entry.context, entry.inode);
    const auto answer = co_await asking;
    --in_flight_;
    if (state_ == State::stopped) co_return;
    // It is gone. A program that runs from its pages may go on with those.
    if (!answer && answer.error().code() == ESTALE) entry.inode->in_kernel = InKernel::no;
    // Who opened it first has no rights any more: whoever reads on asks in a name of its own.
    if (!answer && (answer.error().code() == EACCES || answer.error().code() == EPERM)) {
        deps_.drop(entry.inode);
    }
    if (dismiss(entry.inode)) co_return;
    const auto fresh = entry.inode->attrs.remaining(deps_.clock.now());
    push(std::move(entry), fresh);
    arm();
}

}  // namespace uidnfs::fs
