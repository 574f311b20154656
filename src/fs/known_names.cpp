// SPDX-License-Identifier: Apache-2.0
#include "fs/known_names.hpp"

#include <algorithm>
#include <utility>

namespace uidnfs::fs {
namespace {

/// In a large directory of which somebody needs a few names, listing it all is a waste.
constexpr std::uint32_t kFreePages = 4;
/// Names missed, or found too old, that look like a walk where the last pages were not worth their
/// while.
constexpr std::uint32_t kLongWalk = 48;

}  // namespace

std::shared_ptr<KnownNames> KnownNames::after_change() const {
    auto walk = first_walk_;
    // What is under way may be what tells of the change, and is not kept then.
    const auto fetched = fetched_ + (ahead == Ahead::under_way ? 1u : 0u);
    if (fetched > 0) {
        const bool paid = hits_ >= kHitsForAPage * fetched;
        walk = paid ? kWalk : std::min(walk * 2, kLongWalk);
    }
    if (walk == kWalk) return nullptr;
    auto next = std::make_shared<KnownNames>(budget_);
    next->first_walk_ = next->walk_ = walk;
    return next;
}

KnownNames::Found KnownNames::find(const std::string& name) const {
    const auto it = names_.find(name);
    if (it == names_.end()) {
        if (extent_ == Extent::all) return {Found::Answer::absent, nullptr};
        return {};
    }
    if (!it->second) return {Found::Answer::named, nullptr};
    return {Found::Answer::listed, &*it->second};
}

void KnownNames::touch(const std::string& name) {
    if (loads_ > 0) touched_[name] = sequence_;
}

void KnownNames::put(const std::string& name, std::optional<Listed> listed) {
    const auto [it, inserted] = names_.insert_or_assign(name, std::move(listed));
    if (inserted) ++budget_->used;
}

void KnownNames::removed(const std::string& name) {
    touch(name);
    budget_->used -= names_.erase(name);
}

void KnownNames::changed(const std::string& name) {
    touch(name);
    put(name, std::nullopt);
}

void KnownNames::seen(const std::string& name, const nfs::FileHandle& handle) {
    const auto it = names_.find(name);
    const bool same = it != names_.end() && it->second && it->second->handle == handle;
    if (!same) changed(name);
}

KnownNames::Load KnownNames::begin_load() {
    ++loads_;
    return ++sequence_;
}

void KnownNames::end_load() {
    if (--loads_ == 0) touched_.clear();
}

bool KnownNames::was_touched(const std::string& name, Load load) const {
    const auto touched = touched_.find(name);
    return touched != touched_.end() && touched->second >= load;
}

void KnownNames::found_stale(std::string_view name) {
    const auto which = std::hash<std::string_view>{}(name);
    if (which == last_stale_) return;
    last_stale_ = which;
    if (pass_ == Pass::attributes) {
        ++misses_;
        return;
    }
    // Pages that told nobody anything, as when a few files are polled, make the next ones rare.
    const bool paid = hits_ >= kHitsForAPage * pages_;
    if (++stale_ < (paid ? walk_ : kLongWalk) || ahead != Ahead::idle) return;
    pass_ = Pass::attributes;
    next_ = {};
    pages_ = 0;
    hits_ = 0;
    misses_ = 1;
}

void KnownNames::add(
    std::uint64_t from_cookie, const nfs::DirPage& page, Load load, const Asked& asked
) {
    for (const auto& entry : page.entries) {
        if (entry.name == "." || entry.name == "..") continue;
        if (was_touched(entry.name, load)) continue;
        if (entry.handle && entry.attr) {
            put(entry.name, Listed{*entry.handle, *entry.attr, asked});
        } else {
            if (names_.try_emplace(entry.name).second) ++budget_->used;
        }
    }
    const bool ends = page.more == nfs::DirPage::More::end;
    const auto last = page.entries.empty() ? from_cookie : page.entries.back().cookie;
    if (from_cookie == named_up_to_ && extent_ != Extent::all) {
        named_up_to_ = last;
        if (ends) extent_ = Extent::all;
    }
    const bool has_handles =
        page.entries.empty() ||
        std::any_of(page.entries.begin(), page.entries.end(), [](const nfs::DirEntry& entry) {
            return entry.handle && entry.attr;
        });
    const bool is_next = from_cookie == next_.cookie;
    if (!has_handles && !is_next) return;
    misses_ = 0;
    walk_ = kWalk;
    ++pages_;
    if (ahead == Ahead::under_way) ++fetched_;
    if (!has_handles || !is_next) return;
    next_ = {last, page.verifier};
    if (!ends) return;
    listed_ = Extent::all;
    pass_ = Pass::names;
    stale_ = 0;
}

bool KnownNames::wants_page() const noexcept {
    if (ahead != Ahead::idle || budget_->is_used_up()) return false;
    if (listed_ == Extent::all && pass_ == Pass::names) return false;
    if (pages_ == 0 && pass_ == Pass::names) return misses_ >= walk_;
    return misses_ > 0 && pages_ < kFreePages + hits_ / kHitsForAPage;
}

}  // namespace uidnfs::fs
