// SPDX-License-Identifier: Apache-2.0
#include "fs/dir_stream.hpp"

#include <utility>

namespace uidnfs::fs {
namespace {

/// Offsets with this bit are indexes of large_cookies_; bit 63 is never used.
constexpr std::uint64_t kTableBit = std::uint64_t{1} << 62;

}  // namespace

DirStream::DirStream(CursorRecords& records, std::uint64_t open)
    : DirStream(records, open, records.insert({open, 0, {}})) {}

DirStream::DirStream(CursorRecords& records, std::uint64_t open, CursorRecords::Index record)
    : records_(records), record_(record), open_(open) {
    if (record_ != CursorRecords::kNone) verifier_ = records_[record_].verifier;
}

DirStream::~DirStream() {
    if (record_ != CursorRecords::kNone) records_.erase(record_);
}

std::uint64_t DirStream::to_offset(std::uint64_t cookie) {
    if (cookie < kTableBit) return cookie;
    const auto [it, inserted] = large_offsets_.try_emplace(cookie, large_cookies_.size());
    if (inserted) large_cookies_.push_back(cookie);
    return kTableBit | it->second;
}

std::optional<std::uint64_t> DirStream::to_cookie(std::uint64_t offset) const {
    if (offset < kTableBit) return offset;
    const auto index = offset & ~kTableBit;
    if (index >= large_cookies_.size()) return std::nullopt;
    return large_cookies_[index];
}

DirStream::Position DirStream::seek(std::uint64_t cookie) {
    if (loaded_ == Loaded::no) return Position::elsewhere;
    if (moved_ && moved_->first == cookie) cookie = moved_->second;
    const auto before = [&](std::size_t index) {
        return index == 0 ? start_ : page_.entries[index - 1].cookie;
    };
    if (next_ > page_.entries.size() || before(next_) != cookie) {
        next_ = 0;
        while (before(next_) != cookie) {
            if (next_ == page_.entries.size()) return Position::elsewhere;
            ++next_;
        }
    }
    if (next_ < page_.entries.size()) return Position::here;
    return page_.more == nfs::DirPage::More::end ? Position::end : Position::elsewhere;
}

void DirStream::advance() {
    last_name_ = page_.entries[next_].name;
    ++delivered_;
    ++next_;
}

void DirStream::load(std::uint64_t from_cookie, nfs::DirPage page) {
    page_ = std::move(page);
    start_ = from_cookie;
    next_ = 0;
    loaded_ = Loaded::yes;
    verifier_ = page_.verifier;
    if (record_ != CursorRecords::kNone) {
        records_.update(record_, [&](CursorRecord& record) {
            record = {open_, from_cookie, verifier_};
        });
    }
}

void DirStream::continue_at(std::uint64_t old_cookie, std::uint64_t new_cookie) {
    moved_ = {old_cookie, new_cookie};
}

void DirStream::restart() {
    page_ = {};
    next_ = 0;
    loaded_ = Loaded::no;
    verifier_ = {};
    delivered_ = 0;
    last_name_.clear();
    moved_.reset();
}

}  // namespace uidnfs::fs
