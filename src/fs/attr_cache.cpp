// SPDX-License-Identifier: Apache-2.0
#include "fs/attr_cache.hpp"

#include <algorithm>
#include <utility>

namespace uidnfs::fs {
namespace {

/// More own calls than this under way at once: the oldest stamp is forgotten, at worst a foreign
/// change is seen where there was none.
constexpr std::size_t kRemembered = 64;

bool same_content(const nfs::Attr& a, const nfs::Attr& b) noexcept {
    return a.mtime == b.mtime && a.size == b.size;
}

/// Whether nothing tells two states apart that stat(2) shows: within one tick of the server's clock
/// a new mode, owner or link leaves the stamp as it is.
bool same_state(const nfs::Attr& a, const nfs::Attr& b) noexcept {
    return stamp_of(a) == stamp_of(b) && a.mode == b.mode && a.nlink == b.nlink && a.uid == b.uid &&
           a.gid == b.gid;
}

void remember(std::vector<Stamp>& stamps, const Stamp& stamp) {
    if (std::find(stamps.begin(), stamps.end(), stamp) != stamps.end()) return;
    if (stamps.size() == kRemembered) stamps.erase(stamps.begin());
    stamps.push_back(stamp);
}

}  // namespace

std::chrono::milliseconds AttrCache::remaining(core::SteadyTime now) const noexcept {
    if (!is_fresh(now)) return std::chrono::milliseconds(0);
    return std::chrono::duration_cast<std::chrono::milliseconds>(expires_ - now);
}

void AttrCache::adopt(const nfs::Attr& attr, core::SteadyTime now, const TimerRange& range) {
    // nfs(5): unchanged for a whole period doubles the period, a change begins again at the
    // minimum.
    const bool changed = !attr_ || stamp_of(*attr_) != stamp_of(attr);
    if (changed) {
        timeout_ = range.min;
    } else if (now >= expires_) {
        timeout_ = std::clamp(timeout_ * 2, range.min, range.max);
    }
    attr_ = attr;
    expires_ = now + timeout_;
    confirmed_ = now;
    sequence_ = ++last_;
}

Change AttrCache::learn(
    const nfs::Attr& attr, Token asked, core::SteadyTime now, const TimerRange& range
) {
    if (is_of_another_type(attr)) {
        expire();
        return Change::none;
    }
    if (attr_ && asked < sequence_) {
        if (attr.ctime < attr_->ctime) return Change::none;
        // Asked for since the doubt arose it settles it; another one would only be left open as
        // well.
        if (attr.ctime == attr_->ctime && !same_state(attr, *attr_) &&
            (doubted_ == 0 || asked < doubted_)) {
            if (doubted_ == 0) doubt();
            return Change::none;
        }
    }
    if (changing_ > 0 && order_ == Order::known) order_ = Order::unknown;
    const bool first = !attr_;
    bool changed = attr_ && stamp_of(*attr_) != stamp_of(attr);
    const auto expected = std::exchange(ctime_change_, CtimeChange::none);
    const bool ours = changed && expected == CtimeChange::expected && same_content(*attr_, attr);
    if (changing_ > 0 && attr_ && produced_.empty()) remember(produced_, stamp_of(*attr_));
    adopt(attr, now, range);
    if (asked < doubted_ || order_ == Order::lost) {
        expire();
    } else if (changing_ == 0) {
        doubted_ = 0;
    }
    if (first || !changed) return Change::none;
    if (ours) return Change::own;
    if (changing_ == 0) return Change::foreign;
    remember(glimpsed_, stamp_of(attr));
    return Change::none;
}

Change AttrCache::end_change(nfs::Wcc wcc, core::SteadyTime now, const TimerRange& range) {
    --changing_;
    if (wcc.after && is_of_another_type(*wcc.after)) wcc.after.reset();
    if (attr_ && produced_.empty()) remember(produced_, stamp_of(*attr_));
    if (wcc.before) {
        remember(unexplained_, *wcc.before);
    } else if (wcc.after && attr_ && !same_content(*attr_, *wcc.after)) {
        before_ = Before::missing;
    }
    if (wcc.after) {
        remember(produced_, stamp_of(*wcc.after));
        // Replies of parallel calls may come in any order; the latest ctime is the newest state.
        if (!attr_ || !(wcc.after->ctime < attr_->ctime)) {
            const bool same_tick =
                attr_ && wcc.after->ctime == attr_->ctime && !same_state(*wcc.after, *attr_);
            adopt(*wcc.after, now, range);
            // A later reply that agrees with this one settles nothing: which came last?
            if (same_tick && order_ == Order::unknown) order_ = Order::lost;
            if (order_ == Order::known && doubted_ <= began_) doubted_ = 0;
            // Nor does what was asked for before this change settle an older doubt.
            if (order_ == Order::lost || doubted_ != 0) doubt();
        } else {
            doubt();  // overtaken, or the server's clock was set back: ask when it matters
        }
    } else {
        // Those of a call that was under way besides may be from before this one.
        if (order_ == Order::unknown) order_ = Order::lost;
        doubt();
    }
    return changing_ == 0 ? verdict() : Change::none;
}

/// Servers tell of a file between two WRITEs that run together, or within one, in a state that no
/// reply names. What is later than all that own calls left behind is somebody else's.
bool AttrCache::is_own_halfway(const Stamp& glimpsed) const noexcept {
    return attr_ && attr_->type == nfs::FileType::regular &&
           std::any_of(produced_.begin(), produced_.end(), [&](const Stamp& stamp) {
               return !(stamp.ctime < glimpsed.ctime);
           });
}

Change AttrCache::verdict() {
    const auto is_produced = [&](const Stamp& stamp) {
        return std::find(produced_.begin(), produced_.end(), stamp) != produced_.end();
    };
    bool explained = std::all_of(unexplained_.begin(), unexplained_.end(), is_produced);
    for (const auto& stamp : glimpsed_) {
        if (is_produced(stamp)) continue;
        before_ = Before::missing;
        explained = explained && is_own_halfway(stamp);
    }
    produced_.clear();
    unexplained_.clear();
    glimpsed_.clear();
    order_ = Order::known;
    const auto before = std::exchange(before_, Before::known);
    if (!explained) return Change::foreign;
    return before == Before::known ? Change::own : Change::unknown;
}

}  // namespace uidnfs::fs
