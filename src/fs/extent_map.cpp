// SPDX-License-Identifier: Apache-2.0
#include "fs/extent_map.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

namespace uidnfs::fs {
namespace {

/// Part of the records that only splits may use: bytes that were acknowledged are never without
/// one.
constexpr std::uint64_t kSplitShare = 8;

void count(std::map<ExtentMap::Epoch, std::size_t>& by_epoch, ExtentMap::Epoch epoch, int sign) {
    if (sign > 0) {
        ++by_epoch[epoch];
    } else if (const auto it = by_epoch.find(epoch); --it->second == 0) {
        by_epoch.erase(it);
    }
}

}  // namespace

ExtentMap::~ExtentMap() {
    for (auto& [offset, extent] : extents_) unrecord(extent);
}

void ExtentMap::account(const Extent& extent, int sign) {
    const auto size = sign > 0 ? extent.data.size() : std::uint64_t{0} - extent.data.size();
    bytes_ += size;
    count(held_, extent.epoch, sign);
    switch (extent.state) {
        case ExtentState::dirty:
            dirty_bytes_ += size;
            count(unsent_, extent.epoch, sign);
            break;
        case ExtentState::sending: count(unsent_, extent.epoch, sign); break;
        case ExtentState::uncommitted: uncommitted_bytes_ += size; break;
        case ExtentState::cut: break;  // never an extent
    }
    if (dirty_bytes_ == 0) dirty_since_ = core::SteadyTime::max();
    if (uncommitted_bytes_ == 0) uncommitted_since_ = core::SteadyTime::max();
}

std::uint32_t ExtentMap::record(std::uint64_t offset, const Extent& extent) {
    return journal_.records.insert(
        {inode_,
         offset,
         extent.data.size(),
         static_cast<std::uint64_t>(extent.data.data() - journal_.slot_base),
         extent.order,
         extent.state,
         extent.credential,
         std::bit_cast<std::uint64_t>(extent.verifier)}
    );
}

void ExtentMap::record_length(const Extent& extent) {
    if (extent.record == ExtentRecords::kNone) return;
    journal_.records.set(extent.record, &ExtentRecord::length, extent.data.size());
}

void ExtentMap::record_verifier(const Extent& extent) {
    if (extent.record == ExtentRecords::kNone) return;
    journal_.records.set(
        extent.record, &ExtentRecord::verifier, std::bit_cast<std::uint64_t>(extent.verifier)
    );
}

void ExtentMap::unrecord(const Extent& extent) {
    if (extent.record != ExtentRecords::kNone) journal_.records.erase(extent.record);
}

ExtentMap::Extents::iterator ExtentMap::add(std::uint64_t offset, Extent extent) {
    account(extent, +1);
    const auto it = extents_.insert_or_assign(offset, std::move(extent)).first;
    index(it);
    return it;
}

/// After its state changed.
void ExtentMap::index(Extents::iterator it) {
    if (it->second.state == ExtentState::dirty) {
        dirty_.insert(it->first);
    } else {
        dirty_.erase(it->first);
    }
}

ExtentMap::Extents::iterator ExtentMap::remove(Extents::iterator it) {
    account(it->second, -1);
    unrecord(it->second);
    dirty_.erase(it->first);
    return extents_.erase(it);
}

void ExtentMap::set_state(Extents::iterator it, ExtentState state) {
    account(it->second, -1);
    it->second.state = state;
    account(it->second, +1);
    index(it);
    if (state == ExtentState::dirty) full_runs_ = FullRuns::maybe;
    if (it->second.record == ExtentRecords::kNone) return;
    journal_.records.set(it->second.record, &ExtentRecord::state, state);
}

void ExtentMap::restore(
    std::uint32_t record_index, core::Slice data, Origin origin, core::SteadyTime now
) {
    const auto& found = journal_.records[record_index];
    const bool is_sent = found.state == ExtentState::uncommitted;
    auto& since_of = is_sent ? uncommitted_since_ : dirty_since_;
    // Its writer may have died before all that it replaces was taken away.
    carve(found.offset, found.offset + found.length);
    const auto since = std::min(since_of, now);
    Extent extent;
    extent.state = is_sent ? ExtentState::uncommitted : ExtentState::dirty;
    extent.verifier = std::bit_cast<nfs::Verifier>(found.verifier);
    extent.origin = origin;
    extent.credential = found.credential;
    extent.data = std::move(data);
    extent.epoch = epoch_;
    extent.order = found.order;
    extent.record = record_index;
    journal_.records.set(record_index, &ExtentRecord::state, extent.state);
    next_order_ = std::max(next_order_, found.order + 1);
    add(found.offset, std::move(extent));
    since_of = since;
}

void ExtentMap::restore_cut(std::uint32_t record_index) {
    const auto& found = journal_.records[record_index];
    next_order_ = std::max(next_order_, found.order + 1);
    carve(found.offset, ~std::uint64_t{0});
    journal_.records.erase(record_index);
}

void ExtentMap::split(std::uint64_t at) {
    auto it = extents_.upper_bound(at);
    if (it == extents_.begin()) return;
    --it;
    const auto begin = it->first;
    const auto size = it->second.data.size();
    if (at <= begin || at >= begin + size) return;
    Extent tail = it->second;
    tail.data = it->second.data.sub(at - begin, size - (at - begin));
    // The tail is recorded before the head is cut: a crash in between leaves both with equal bytes.
    tail.record = record(at, tail);
    const bool has_record = tail.record != ExtentRecords::kNone;
    // Counted before the head is less: where there is no other, their age would be forgotten.
    add(at, std::move(tail));
    account(it->second, -1);
    it->second.data = it->second.data.sub(0, at - begin);
    account(it->second, +1);
    // Without a record of its own (kSplitShare used up) the tail lives as long as that of the head.
    if (has_record) record_length(it->second);
}

void ExtentMap::carve(std::uint64_t begin, std::uint64_t end, Epoch last) {
    split(begin);
    split(end);
    for (auto it = extents_.lower_bound(begin); it != extents_.end() && it->first < end;) {
        it = it->second.epoch <= last ? remove(it) : std::next(it);
    }
}

bool ExtentMap::overlaps(std::uint64_t begin, std::uint64_t end) const noexcept {
    auto it = extents_.lower_bound(end);
    if (it == extents_.begin()) return false;
    --it;
    return it->first + it->second.data.size() > begin;
}

bool ExtentMap::extend_previous(std::uint64_t offset, const core::Slice& data, Origin origin) {
    auto it = extents_.lower_bound(offset);
    if (it == extents_.begin()) return false;
    --it;
    auto& extent = it->second;
    if (it->first + extent.data.size() != offset || extent.state != ExtentState::dirty ||
        extent.epoch != epoch_ || extent.origin != origin || !extent.data.is_followed_by(data)) {
        return false;
    }
    account(extent, -1);
    extent.data = extent.data.joined(data);
    account(extent, +1);
    record_length(extent);
    return true;
}

ExtentMap::Inserted ExtentMap::insert(
    std::uint64_t offset, core::Slice data, From from, core::SteadyTime now
) {
    const auto& records = journal_.records;
    const auto end = offset + data.size();
    if (records.size() + records.capacity() / kSplitShare >= records.capacity()) {
        return Inserted::no_room;
    }
    const auto since = std::min(dirty_since_, now);
    // Longer, the previous extent would be older than what it covers then.
    if (overlaps(offset, end) || !extend_previous(offset, data, from.origin)) {
        Extent extent;
        extent.origin = from.origin;
        extent.credential = from.credential;
        extent.data = std::move(data);
        extent.epoch = epoch_;
        extent.order = next_order_++;
        // From this store on the new bytes hold; what they replace goes afterwards.
        extent.record = record(offset, extent);
        carve(offset, end);
        add(offset, std::move(extent));
    }
    dirty_since_ = since;
    return Inserted::yes;
}

void ExtentMap::truncate(std::uint64_t size, Moment cut) {
    if (end() <= size) return;
    // Many records go; one store says that they do.
    const auto record =
        journal_.records.insert({inode_, size, 0, 0, cut.order, ExtentState::cut, kMountsOwn, 0});
    carve(size, ~std::uint64_t{0}, cut.epoch);
    if (record != ExtentRecords::kNone) journal_.records.erase(record);
}

bool ExtentMap::is_under_way(std::uint64_t begin, std::uint64_t end) const noexcept {
    return std::any_of(under_way_.begin(), under_way_.end(), [&](const UnderWay& write) {
        return begin < write.end && write.offset < end;
    });
}

ExtentMap::Batch ExtentMap::take(Extents::iterator first, std::uint64_t end, std::size_t slices) {
    const auto begin = first->first;
    Batch batch{
        next_id_++, first->second.origin, begin, static_cast<std::uint32_t>(end - begin), {}};
    batch.slices.reserve(slices);
    for (auto e = first; e != extents_.end() && e->first < end; ++e) {
        batch.slices.push_back(e->second.data);
        e->second.batch = batch.id;
        set_state(e, ExtentState::sending);
    }
    under_way_.push_back({batch.id, begin, end});
    cursor_ = end;
    return batch;
}

std::optional<ExtentMap::Batch> ExtentMap::next_batch(std::uint32_t limit, Send what) {
    if (what == Send::full_only && full_runs_ == FullRuns::none) return std::nullopt;
    auto next = dirty_.lower_bound(cursor_);
    for (std::size_t left = dirty_.size(); left > 0;) {
        if (next == dirty_.end()) next = dirty_.begin();
        const auto first = extents_.find(*next);
        const auto begin = first->first;
        auto end = begin;
        std::size_t slices = 0;
        // A run of dirty neighbours, cut where it would overlap a WRITE under way.
        for (auto it = first; it != extents_.end() && it->first == end &&
                              it->second.state == ExtentState::dirty &&
                              it->second.origin == first->second.origin && end - begin < limit &&
                              slices < kMaxSlices &&
                              !is_under_way(it->first, it->first + it->second.data.size());
             ++it) {
            end += it->second.data.size();
            ++slices;
        }
        const bool is_full = end - begin >= limit || slices == kMaxSlices;
        if (slices > 0 && (is_full || what == Send::all)) {
            end = std::min(end, begin + limit);
            split(end);
            return take(first, end, slices);
        }
        const auto passed = std::min(std::max<std::size_t>(slices, 1), left);
        left -= passed;
        for (std::size_t i = 0; i < passed && next != dirty_.end(); ++i) ++next;
    }
    if (what == Send::full_only) full_runs_ = FullRuns::none;
    return std::nullopt;
}

bool ExtentMap::seek_full_run(std::uint64_t offset, std::uint32_t limit) {
    if (dirty_bytes_ < limit) return false;
    auto first = extents_.upper_bound(offset);
    if (first == extents_.begin()) return false;
    --first;
    if (first->second.state != ExtentState::dirty) return false;
    const auto is_sibling = [](Extents::iterator a, Extents::iterator b) {
        return a->second.state == ExtentState::dirty && a->second.origin == b->second.origin;
    };
    auto end = first->first + first->second.data.size();
    for (auto next = std::next(first); end - first->first < limit && next != extents_.end() &&
                                       next->first == end && is_sibling(next, first);
         ++next) {
        end += next->second.data.size();
    }
    while (end - first->first < limit && first != extents_.begin()) {
        const auto previous = std::prev(first);
        if (previous->first + previous->second.data.size() != first->first ||
            !is_sibling(previous, first)) {
            break;
        }
        first = previous;
    }
    cursor_ = first->first;
    if (end - first->first < limit) return false;
    full_runs_ = FullRuns::maybe;
    return true;
}

bool ExtentMap::is_one_batch(std::uint32_t limit) const {
    if (extents_.empty() || bytes_ != dirty_bytes_ || !under_way_.empty()) return false;
    if (bytes_ > limit || extents_.size() > kMaxSlices) return false;
    const auto origin = extents_.begin()->second.origin;
    const bool one_origin = std::all_of(extents_.begin(), extents_.end(), [&](const auto& entry) {
        return entry.second.origin == origin;
    });
    return one_origin && end() - extents_.begin()->first == bytes_;
}

void ExtentMap::sent(
    const Batch& batch,
    std::uint32_t count,
    Kept kept,
    const nfs::Verifier& verifier,
    core::SteadyTime now
) {
    std::erase_if(under_way_, [&](const UnderWay& write) { return write.id == batch.id; });
    const auto done = batch.offset + count;
    const auto end = batch.offset + batch.length;
    split(done);
    for (auto it = extents_.lower_bound(batch.offset); it != extents_.end() && it->first < end;) {
        if (it->second.state != ExtentState::sending || it->second.batch != batch.id) {
            ++it;
        } else if (it->first >= done) {
            set_state(it, ExtentState::dirty);
            dirty_since_ = std::min(dirty_since_, now);
            ++it;
        } else if (kept == Kept::disk) {
            it = remove(it);
        } else {
            it->second.verifier = verifier;
            record_verifier(it->second);
            it->second.batch = 0;
            set_state(it, ExtentState::uncommitted);
            uncommitted_since_ = std::min(uncommitted_since_, now);
            ++it;
        }
    }
}

void ExtentMap::failed(const Batch& batch, core::SteadyTime now) {
    sent(batch, batch.length, Kept::disk, {}, now);
}

std::vector<ExtentMap::Origin> ExtentMap::begin_commit() {
    ++commit_id_;
    std::vector<Origin> whose;
    for (auto& [offset, extent] : extents_) {
        if (extent.state != ExtentState::uncommitted) continue;
        extent.batch = commit_id_;
        if (std::find(whose.begin(), whose.end(), extent.origin) == whose.end()) {
            whose.push_back(extent.origin);
        }
    }
    return whose;
}

std::size_t ExtentMap::committed(const nfs::Verifier& verifier, core::SteadyTime now) {
    std::size_t lost = 0;
    for (auto it = extents_.begin(); it != extents_.end();) {
        if (it->second.state != ExtentState::uncommitted || it->second.batch != commit_id_) {
            ++it;
        } else if (it->second.verifier == verifier) {
            it = remove(it);
        } else {
            set_state(it, ExtentState::dirty);
            dirty_since_ = std::min(dirty_since_, now);
            ++it;
            ++lost;
        }
    }
    return lost;
}

void ExtentMap::commit_failed() {
    for (auto it = extents_.begin(); it != extents_.end();) {
        const bool covered =
            it->second.state == ExtentState::uncommitted && it->second.batch == commit_id_;
        it = covered ? remove(it) : std::next(it);
    }
}

bool ExtentMap::is_sent(Epoch epoch) const noexcept {
    return unsent_.empty() || unsent_.begin()->first > epoch;
}

bool ExtentMap::is_stable(Epoch epoch) const noexcept {
    return held_.empty() || held_.begin()->first > epoch;
}

std::vector<ExtentMap::Piece> ExtentMap::within(std::uint64_t offset, std::uint64_t length) const {
    std::vector<Piece> pieces;
    auto it = extents_.upper_bound(offset);
    if (it != extents_.begin()) --it;
    for (; it != extents_.end() && it->first < offset + length; ++it) {
        const auto begin = std::max(it->first, offset);
        const auto end = std::min(it->first + it->second.data.size(), offset + length);
        if (begin < end)
            pieces.push_back({begin, it->second.data.sub(begin - it->first, end - begin)});
    }
    return pieces;
}

bool ExtentMap::holds(std::uint64_t offset, const core::Slice& data) const {
    auto at = offset;
    for (const auto& piece : within(offset, data.size())) {
        if (piece.offset != at) return false;
        const auto* wanted = data.data() + (at - offset);
        if (std::memcmp(piece.data.data(), wanted, piece.data.size()) != 0) return false;
        at += piece.data.size();
    }
    return at == offset + data.size();
}

std::uint64_t ExtentMap::end() const noexcept {
    if (extents_.empty()) return 0;
    const auto& [offset, extent] = *extents_.rbegin();
    return offset + extent.data.size();
}

}  // namespace uidnfs::fs
