// SPDX-License-Identifier: Apache-2.0
#include "fs/read_ahead.hpp"

#include "fs/page.hpp"

#include <algorithm>
#include <utility>

namespace uidnfs::fs {
namespace {

using namespace std::chrono_literals;

/// Received bytes lie in blocks of this size at least (RecordReader's windows).
constexpr std::uint64_t kLeastCharge = 64u << 10;
/// Reads one after the other that are a sequence.
constexpr std::uint32_t kRun = 3;
/// Of a file that somebody else writes to (a log) all that was asked for ahead is worth nothing
/// with each change: so many reads more, at most, before it is tried again.
constexpr std::uint32_t kMostRest = 64;
/// A reader that takes longer between two reads has no use for more than the kernel's readahead.
constexpr core::SteadyDuration kSlow = 1s;
/// Whoever opens a file in order to read it does so at once. Whoever waits may be waiting for
/// somebody who writes it.
constexpr core::SteadyDuration kAtOnce = 500ms;
/// The open files are looked through for old bytes no more often.
constexpr core::SteadyDuration kTidy = 1s;
/// Bytes that a server in the same kernel sends may be its pages, which others write to: they are
/// no state of the file any more when they are looked at later. So long they may stay in a pipe,
/// as in a socket.
constexpr core::SteadyDuration kInPipe = 50ms;
constexpr std::uint32_t kMostCredit = 16;
constexpr std::uint32_t kTryEach = 16;

std::uint64_t round_up(std::uint64_t size, std::uint64_t unit) noexcept {
    return (size + unit - 1) / unit * unit;
}

}  // namespace

bool ReadAhead::House::has_room(std::uint64_t charge) {
    if (held + charge <= kMostOfAll) return true;
    const auto now = clock.now();
    if (!make_room || (made_room != core::SteadyTime::min() && now - made_room < kTidy))
        return false;
    made_room = now;
    make_room();
    return held + charge <= kMostOfAll;
}

ReadAhead::Chunk::Chunk(HouseRef house_, std::uint64_t offset_, std::uint32_t size_)
    : house(std::move(house_)),
      offset(offset_),
      size(size_),
      charge(std::max<std::uint64_t>(size_, kLeastCharge)),
      asked(house->clock.now()),
      believed(house->believed),
      arrived(house->reactor) {
    house->held += charge;
}

ReadAhead::Chunk::~Chunk() {
    house->held -= charge;
    if (used == Used::no) ++house->unused;
}

ReadAhead::ReadAhead(HouseRef house, InodeRef inode, nfs::CallContext context, nfs::OpenRef open)
    : house_(std::move(house)),
      inode_(std::move(inode)),
      context_(std::move(context)),
      open_(open) {}

bool ReadAhead::wants_small(House& house, std::uint64_t size) {
    if (house.believed == 0s || size == 0 || size > kSmall) return false;
    if (round_up(size, kPage) > house.client.fs_info().read_max) return false;
    if (house.credit == 0 && house.opens++ % kTryEach != 0) return false;
    return house.has_room(kLeastCharge);
}

void ReadAhead::begin_small(std::uint64_t size) {
    // A whole page at the end, as the kernel asks, so that the server says where the file ends.
    start(0, static_cast<std::uint32_t>(round_up(size, kPage)), Chunk::Origin::open);
}

bool ReadAhead::start(std::uint64_t offset, std::uint32_t size, Chunk::Origin origin) {
    if (!house_->has_room(std::max<std::uint64_t>(size, kLeastCharge))) return false;
    auto chunk = std::make_shared<Chunk>(house_, offset, size);
    chunk->origin = origin;
    chunk->content = inode_->content;
    chunk->before = stamp_of(inode_->attrs.attr());
    if (origin == Chunk::Origin::open) chunk->believed = std::min(house_->believed, kAtOnce);
    chunks_.push_back(chunk);
    core::spawn(fetch(std::move(chunk), inode_, context_, open_));
    return true;
}

core::Task<void> ReadAhead::fetch(
    ChunkRef chunk, InodeRef inode, nfs::CallContext context, nfs::OpenRef open
) {
    const auto asked = AttrCache::token();
    auto reply = co_await chunk->house->client.read(context, open, chunk->offset, chunk->size);
    // Without attributes nobody knows of which state of the file the bytes are. An error of the
    // server is told by the application's own read.
    if (reply && reply->attr && chunk->house->learn) {
        chunk->house->learn(inode, *reply->attr, asked);
        chunk->data = std::move(reply->data);
        chunk->end = reply->end;
        chunk->stamp = stamp_of(*reply->attr);
        chunk->stage = Chunk::Stage::here;
    } else {
        chunk->stage = Chunk::Stage::failed;
        if (!reply) chunk->error = reply.error();
    }
    chunk->arrived.notify_all();
    if (chunk->data.piped()) core::spawn(take_from_pipe(chunk->house, chunk));
}

core::Task<void> ReadAhead::take_from_pipe(HouseRef house, std::weak_ptr<const Chunk> chunk) {
    co_await house->reactor.sleep_for(kInPipe);
    if (const auto kept = chunk.lock()) (void)kept->data.data();
}

bool ReadAhead::is_young(const Chunk& chunk) const noexcept {
    return house_->clock.now() - chunk.asked < std::min(chunk.believed, house_->believed);
}

bool ReadAhead::is_good(const Chunk& chunk) const {
    // Servers read first and look at the attributes then: with the stamp from before nobody can
    // have written in between.
    return chunk.stage == Chunk::Stage::here && chunk.content == inode_->content &&
           chunk.stamp == chunk.before && inode_->attrs.has_attr() &&
           chunk.stamp == stamp_of(inode_->attrs.attr()) && is_young(chunk);
}

bool ReadAhead::covers(std::uint64_t offset) const noexcept {
    return std::any_of(chunks_.begin(), chunks_.end(), [&](const ChunkRef& chunk) {
        return offset >= chunk->offset && offset < chunk->behind();
    });
}

void ReadAhead::drop() noexcept {
    for (const auto& chunk : chunks_) {
        const bool wasted = chunk->origin == Chunk::Origin::open && chunk->used == Chunk::Used::no;
        if (wasted && house_->credit > 0) --house_->credit;
    }
    chunks_.clear();
}

void ReadAhead::drop_old() noexcept {
    const auto is_of_use = [&](const ChunkRef& chunk) {
        return chunk->stage != Chunk::Stage::here || is_young(*chunk);
    };
    if (!std::all_of(chunks_.begin(), chunks_.end(), is_of_use)) drop();
}

void ReadAhead::follow(std::uint64_t offset, std::uint64_t size) {
    const auto now = house_->clock.now();
    const bool in_order = offset == next_ || covers(offset);
    const bool slow = now - last_ > kSlow;
    if (!in_order) drop();
    if (!in_order || slow) {
        run_ = 0;
        window_ = 0;
    }
    ++run_;
    last_ = now;
    next_ = in_order ? std::max(next_, offset + size) : offset + size;
    if (run_ < kRun + rest_ || house_->believed == 0s || !inode_->attrs.has_attr()) return;
    if (window_ == 0) window_ = std::min(round_up(4 * size, kLeastCharge), kMostOfOne);
    const std::uint64_t limit = house_->client.fs_info().read_max;
    const auto step = std::clamp<std::uint64_t>(window_ / 2, 1, limit);
    const auto page = page_of(offset);  // whole pages, as Reader asks
    auto from = chunks_.empty() ? page : std::max(page, chunks_.back()->behind());
    const auto until = std::min(next_ + window_, inode_->attrs.attr().size);
    while (from < until) {
        if (!start(from, static_cast<std::uint32_t>(step), Chunk::Origin::sequence)) return;
        from += step;
    }
}

core::Task<ReadAhead::Found> ReadAhead::read(std::uint64_t offset, std::uint64_t size) {
    follow(offset, size);
    const auto end = offset + size;
    std::vector<ChunkRef> wanted;
    for (const auto& chunk : chunks_) {
        if (chunk->offset < end && chunk->behind() > offset) wanted.push_back(chunk);
    }
    Found found;
    if (wanted.empty()) co_return found;
    for (const auto& chunk : wanted) {
        if (chunk->stage != Chunk::Stage::under_way) continue;
        // So far the window was too small for this reader on this path.
        if (chunk->origin == Chunk::Origin::sequence) window_ = std::min(window_ * 2, kMostOfOne);
        while (chunk->stage == Chunk::Stage::under_way) co_await chunk->arrived.wait();
        // `soft` has waited long enough. What the server says of a stretch may not be true of this
        // part.
        if (chunk->error && chunk->error->source() != core::ErrorSource::nfs) {
            found.error = chunk->error;
            drop();
            co_return found;
        }
    }
    if (!std::all_of(wanted.begin(), wanted.end(), [&](const auto& c) { return is_good(*c); })) {
        drop();
        run_ = 0;
        window_ = 0;
        rest_ = std::clamp(rest_ * 2, kRun, kMostRest);
        co_return found;
    }
    for (const auto& chunk : wanted) {
        const auto from = std::max(offset, chunk->offset);
        const auto got_to = chunk->offset + chunk->data.size();
        if (chunk->end == nfs::ReadReply::End::yes) found.server_end = got_to;
        const auto to = std::min(end, got_to);
        if (from < to)
            found.pieces.push_back({from, chunk->data.sub(from - chunk->offset, to - from)});
        if (std::exchange(chunk->used, Chunk::Used::yes) == Chunk::Used::yes) continue;
        if (chunk->origin == Chunk::Origin::open && house_->credit < kMostCredit) ++house_->credit;
        if (chunk->origin == Chunk::Origin::sequence) rest_ /= 2;
    }
    const auto last = found.pieces.empty()
                          ? offset
                          : found.pieces.back().offset + found.pieces.back().data.size();
    if (last == end || (found.server_end && *found.server_end <= end)) ++house_->hits;
    // The kernel keeps what it got.
    std::erase_if(chunks_, [&](const ChunkRef& chunk) { return chunk->behind() <= end; });
    co_return found;
}

}  // namespace uidnfs::fs
