// SPDX-License-Identifier: Apache-2.0
#include "fs/dir_stream.hpp"

#include <bit>
#include <functional>
#include <utility>

namespace uidnfs::fs {
namespace {

/// Offsets with this bit are indexes of large_cookies_; bit 63 is never used.
constexpr std::uint64_t kTableBit = std::uint64_t{1} << 62;

std::uint64_t hash_of(const std::string& name) noexcept { return std::hash<std::string>()(name); }

}  // namespace

DirStream::DirStream(Journal journal, std::uint64_t open)
    : DirStream(journal, open, {journal.cursors.insert({open, 0})}) {}

DirStream::DirStream(Journal journal, std::uint64_t open, Found found)
    : journal_(journal), records_(std::move(found)), open_(open) {
    if (records_.cursor != CursorRecords::kNone) {
        verifier_ = std::bit_cast<nfs::Verifier>(journal_.cursors[records_.cursor].verifier);
    }
    if (records_.end != CookieRecords::kNone) end_ = journal_.cookies[records_.end].cookie;
    large_dropped_ = records_.first_number;
    for (const auto record : records_.cookies) {
        const auto cookie = journal_.cookies[record].cookie;
        large_offsets_.emplace(cookie, large_dropped_ + large_cookies_.size());
        large_cookies_.push_back(cookie);
    }
}

DirStream::~DirStream() {
    if (records_.cursor != CursorRecords::kNone) journal_.cursors.erase(records_.cursor);
    for (const auto record : records_.cookies) {
        if (record != CookieRecords::kNone) journal_.cookies.erase(record);
    }
    forget_end();
}

void DirStream::note_end(std::uint64_t cookie) {
    if (end_ == cookie) return;
    forget_end();
    end_ = cookie;
    records_.end = journal_.cookies.insert({open_, CookieRecord::kEnd, cookie});
}

void DirStream::forget_end() {
    end_.reset();
    if (records_.end == CookieRecords::kNone) return;
    journal_.cookies.erase(std::exchange(records_.end, CookieRecords::kNone));
}

std::uint64_t DirStream::to_offset(std::uint64_t cookie) {
    if (cookie < kTableBit) return cookie;
    const auto number = large_dropped_ + large_cookies_.size();
    const auto [it, inserted] = large_offsets_.try_emplace(cookie, number);
    const auto offset = kTableBit | it->second;
    if (!inserted) return offset;
    // Recorded before the kernel hears of the number.
    records_.cookies.push_back(journal_.cookies.insert({open_, number, cookie}));
    large_cookies_.push_back(cookie);
    if (large_cookies_.size() > kRemembered) drop_oldest_cookie();
    return offset;
}

void DirStream::drop_oldest_cookie() {
    const auto record = records_.cookies.front();
    if (record != CookieRecords::kNone) journal_.cookies.erase(record);
    records_.cookies.pop_front();
    large_offsets_.erase(large_cookies_.front());
    large_cookies_.pop_front();
    ++large_dropped_;
}

std::optional<std::uint64_t> DirStream::to_cookie(std::uint64_t offset) const {
    if (offset < kTableBit) return offset;
    const auto index = (offset & ~kTableBit) - large_dropped_;
    if (index >= large_cookies_.size()) return std::nullopt;
    return large_cookies_[index];
}

DirStream::Position DirStream::seek(std::uint64_t cookie) {
    if (forgotten_ == cookie) cookie = 0;
    const auto outside = end_ == cookie ? Position::end : Position::elsewhere;
    if (loaded_ == Loaded::no) return outside;
    const auto before = [&](std::size_t index) {
        return index == 0 ? start_ : page_.entries[index - 1].cookie;
    };
    if (next_ > page_.entries.size() || before(next_) != cookie) {
        next_ = 0;
        while (before(next_) != cookie) {
            if (next_ == page_.entries.size()) return outside;
            ++next_;
        }
    }
    if (next_ < page_.entries.size()) return Position::here;
    return page_.more == nfs::DirPage::More::end ? Position::end : Position::elsewhere;
}

void DirStream::advance() {
    forgotten_.reset();
    const auto& entry = page_.entries[next_];
    if (can_begin_again()) delivered_.push_back({hash_of(entry.name), entry.cookie});
    ++next_;
}

void DirStream::taken_up_to(std::uint64_t cookie) {
    // What is not remembered whole is of no use any more, and in so much nothing is looked for.
    if (!can_begin_again()) return;
    // The kernel may have thrown away the rest of what it got.
    for (auto count = delivered_.size(); count > 0; --count) {
        if (delivered_[count - 1].cookie != cookie) continue;
        delivered_.resize(count);
        return;
    }
}

bool DirStream::was_delivered() const {
    return !passed_over_.empty() && passed_over_.contains(hash_of(page_.entries[next_].name));
}

DirStream::Way DirStream::way_to(std::uint64_t from_cookie) noexcept {
    const bool reads_on = loaded_ == Loaded::yes && !page_.entries.empty() &&
                          page_.entries.back().cookie == from_cookie;
    if (!reads_on) {
        mark_ = from_cookie;
        pages_since_mark_ = 0;
        pages_to_next_mark_ = 1;
        return Way::on;
    }
    if (from_cookie == mark_) return Way::round;
    if (++pages_since_mark_ == pages_to_next_mark_) {
        mark_ = from_cookie;
        pages_since_mark_ = 0;
        pages_to_next_mark_ *= 2;
    }
    return Way::on;
}

DirStream::Way DirStream::load(std::uint64_t from_cookie, nfs::DirPage page, Asked asked) {
    const auto way = way_to(from_cookie);
    asked_ = asked;
    page_ = std::move(page);
    start_ = from_cookie;
    next_ = 0;
    loaded_ = Loaded::yes;
    if (page_.more == nfs::DirPage::More::end) {
        note_end(page_.entries.empty() ? from_cookie : page_.entries.back().cookie);
    }
    verifier_ = page_.verifier;
    if (records_.cursor != CursorRecords::kNone) {
        const auto word = std::bit_cast<std::uint64_t>(verifier_);
        journal_.cursors.set(records_.cursor, &CursorRecord::verifier, word);
    }
    return way;
}

void DirStream::forgotten(std::uint64_t cookie) {
    for (const auto& entry : delivered_) passed_over_.insert(entry.name);
    forget_end();
    page_ = {};
    start_ = 0;
    next_ = 0;
    loaded_ = Loaded::no;
    verifier_ = {};
    forgotten_ = cookie;
}

void DirStream::restart() {
    forget_end();
    page_ = {};
    next_ = 0;
    loaded_ = Loaded::no;
    verifier_ = {};
    delivered_.clear();
    passed_over_.clear();
    forgotten_.reset();
}

}  // namespace uidnfs::fs
