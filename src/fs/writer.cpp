// SPDX-License-Identifier: Apache-2.0
#include "fs/writer.hpp"

#include "core/log.hpp"

#include <cerrno>

namespace uidnfs::fs {
namespace {

using namespace std::chrono_literals;

/// Smaller writes are copied into the log; the slot of a larger one is kept as it is.
constexpr std::size_t kCopyBelow = 64u << 10;
/// WRITEs of one file under way at once.
constexpr std::size_t kBatchesUnderWay = 32;
/// Servers restart; one whose verifier is another each time, as of several behind one address, has
/// each byte put on its disk at once, or it would be asked for ever.
constexpr std::uint32_t kMostVainCommits = 3;
constexpr auto kTick = 250ms;
constexpr auto kSendAfter = 1s;
constexpr auto kCommitAfter = 5s;

std::uint64_t bounded(std::uint64_t wanted, const core::SlotPool& slots) {
    // Half of the slots stay free for requests.
    return std::min<std::uint64_t>(wanted, slots.capacity() / 4 * slots.bytes());
}

bool wants_early_errors(int code) noexcept { return code == ENOSPC || code == EDQUOT; }

}  // namespace

Writer::Writer(Deps deps, std::uint64_t budget)
    : deps_(std::move(deps)),
      budget_bytes_(bounded(budget, deps_.slots)),
      budget_(deps_.reactor, static_cast<std::int64_t>(budget_bytes_)),
      log_(deps_.slots),
      activity_(deps_.reactor),
      timer_(deps_.reactor.io()),
      self_(std::make_shared<Writer*>(this)) {}

void Writer::set_budget(std::uint64_t bytes) {
    const auto before = std::exchange(budget_bytes_, bounded(bytes, deps_.slots));
    budget_.grow(static_cast<std::int64_t>(budget_bytes_) - static_cast<std::int64_t>(before));
}

FileState& Writer::state_of(Inode& inode) {
    if (!inode.file) {
        inode.file = std::make_unique<FileState>(deps_.reactor, deps_.journal, inode.id);
    }
    return *inode.file;
}

core::Slice Writer::keep(core::Slice data) {
    const bool scarce = deps_.slots.available() < deps_.slots.capacity() / 2;
    if (data.size() >= kCopyBelow && !scarce) return data;
    if (auto copied = log_.copy(data)) return std::move(*copied);
    return data;
}

core::Task<core::Result<void>> Writer::put(
    InodeRef inode, WriteContext context, std::uint64_t offset, core::Slice data, WriteOrigin origin
) {
    const auto charge = static_cast<std::int64_t>(data.size() + ExtentMap::kExtentCost);
    if (origin == WriteOrigin::page_cache) {
        budget_.force_acquire(charge);
    } else if (!budget_.try_acquire(charge)) {
        relieve();
        co_await budget_.acquire(charge);
    }
    if (refusal_) {
        budget_.release(charge);
        co_return *refusal_;
    }
    auto& file = state_of(*inode);
    file.charged += static_cast<std::uint64_t>(charge);
    const auto credential = deps_.credentials.number_of(context.call.credential);
    auto inserted = ExtentMap::Inserted::no_room;
    if (credential) {
        const ExtentMap::From from{file.origin_of(context), *credential};
        inserted = file.extents.insert(offset, keep(std::move(data)), from, deps_.clock.now());
    }
    ++inode->content;
    settle(inode);
    if (inserted == ExtentMap::Inserted::no_room) co_return core::Error(ENOMEM);
    make_room(inode);
    co_return core::Result<void>();
}

void Writer::settle(const InodeRef& inode) {
    auto& file = *inode->file;
    const auto now = file.extents.footprint();
    if (now < file.charged) budget_.release(static_cast<std::int64_t>(file.charged - now));
    if (now > file.charged) budget_.force_acquire(static_cast<std::int64_t>(now - file.charged));
    file.charged = now;
    if (file.extents.empty()) {
        end_record(file);
        file.vain_commits = 0;
        if (file.commit == FileState::Commit::idle) file.origins.clear();
        if (active_.erase(inode) == 0) return;
        deps_.inodes.drop_if_unused(inode);
        if (active_.empty()) {
            log_.close();
            activity_.notify_all();
        }
    } else {
        begin_record(*inode);
        if (active_.insert(inode).second) activity_.notify_all();
        arm_tick();
    }
}

void Writer::kick(const InodeRef& inode, std::uint64_t offset) {
    if (inode->file->extents.seek_full_run(offset, deps_.client.fs_info().write_max)) {
        pump(inode, ExtentMap::Send::full_only, nfs::Stability::unstable);
    }
}

void Writer::pump(const InodeRef& inode, ExtentMap::Send what, nfs::Stability stability) {
    auto& file = *inode->file;
    if (file.vain_commits >= kMostVainCommits) stability = nfs::Stability::file_sync;
    while (file.holds == 0 && file.extents.batches_under_way() < kBatchesUnderWay) {
        auto batch = file.extents.next_batch(deps_.client.fs_info().write_max, what);
        if (!batch) return;
        core::spawn(send(inode, std::move(*batch), stability));
    }
}

core::Task<void> Writer::send(InodeRef inode, ExtentMap::Batch batch, nfs::Stability stability) {
    auto& file = *inode->file;
    const auto as = file.origins[batch.origin];
    inode->attrs.begin_change();
    auto reply =
        co_await deps_.client.write(as.call, as.open, batch.offset, batch.slices, stability);
    if (reply && reply->count > 0) {
        const auto kept = reply->committed == nfs::Stability::unstable
                              ? ExtentMap::Kept::volatile_memory
                              : ExtentMap::Kept::disk;
        const auto count = std::min(reply->count, batch.length);
        file.extents.sent(batch, count, kept, reply->verifier, deps_.clock.now());
        file.mode = FileState::Mode::behind;
        deps_.finish_change(inode, reply->wcc);
    } else {
        // A server that takes nothing and says OK would be asked for ever.
        fail(inode, reply ? core::Error(EIO) : reply.error(), &batch);
        deps_.finish_change(inode, nfs::Wcc{});
    }
    settle(inode);
    file.progress.notify_all();
    const bool flushing = stability != nfs::Stability::unstable;
    // What waited for its turn, or for the end of this WRITE because it overwrites it.
    if (!flushing) {
        (void)file.extents.seek_full_run(batch.offset, deps_.client.fs_info().write_max);
        pump(inode, ExtentMap::Send::full_only, stability);
    }
    make_room(inode);
}

void Writer::fail(const InodeRef& inode, const core::Error& error, const ExtentMap::Batch* batch) {
    auto& file = *inode->file;
    if (refusal_) {  // give_up() has told, and its caller names the bytes
        if (batch) {
            file.extents.failed(*batch, deps_.clock.now());
        } else {
            file.extents.commit_failed();
        }
        return;
    }
    ++errors_;
    inode->write_error.set(error.code());
    deps_.inodes.record_error(*inode);  // before the bytes go
    if (wants_early_errors(error.code())) file.mode = FileState::Mode::through;
    const auto name = core::log::printable(path_of(*inode));
    const auto fileid = deps_.inodes.fileid_of(*inode);
    if (batch) {
        file.extents.failed(*batch, deps_.clock.now());
        deps_.lost(inode, batch->offset, batch->length);
    } else {
        file.extents.commit_failed();
        deps_.lost(inode, 0, 0);
    }
    // The application is told of each; a full disk, or a server that means it so, fills no log.
    const auto omitted = complaints_.may(deps_.clock.now());
    if (!omitted) return;
    core::tell_omitted(*omitted);
    if (batch) {
        core::log::warning(
            "write to {} (file id {}) failed, {} bytes at {} are lost: {}",
            name,
            fileid,
            batch->length,
            batch->offset,
            core::to_string(error)
        );
    } else {
        core::log::warning(
            "commit of {} (file id {}) failed: {}", name, fileid, core::to_string(error)
        );
    }
}

core::Task<void> Writer::commit(InodeRef inode) {
    auto& file = *inode->file;
    file.commit = FileState::Commit::under_way;
    // A COMMIT covers everybody's bytes (RFC 1813 3.3.21), but whoever wrote some may have lost the
    // right to since.
    const auto whose = file.extents.begin_commit();
    auto asked = AttrCache::token();
    core::Result<nfs::CommitReply> reply = core::Error(EIO);
    for (const auto origin : whose) {
        const auto as = file.origins[origin];
        asked = AttrCache::token();
        reply = co_await deps_.client.commit(as.call, as.open, 0, 0);
        if (reply || (reply.error().code() != EACCES && reply.error().code() != EPERM)) break;
    }
    file.commit = FileState::Commit::idle;
    if (reply) {
        const auto lost = file.extents.committed(reply->verifier, deps_.clock.now());
        file.vain_commits = lost > 0 ? file.vain_commits + 1 : 0;
        if (file.extents.has_unsent() && !file.extents.batches_under_way()) {
            pump(inode, ExtentMap::Send::all, nfs::Stability::unstable);
        }
        if (reply->wcc.after) deps_.learn(inode, *reply->wcc.after, asked);
    } else {
        fail(inode, reply.error(), nullptr);
    }
    settle(inode);
    file.progress.notify_all();
    make_room(inode);  // of what was written while this COMMIT was under way
}

void Writer::commit_soon(const InodeRef& inode) {
    auto& file = *inode->file;
    if (file.commit == FileState::Commit::idle && file.extents.has_uncommitted()) {
        core::spawn(commit(inode));
    }
}

core::Task<void> Writer::sent(InodeRef inode, ExtentMap::Epoch epoch, nfs::Stability stability) {
    auto& file = *inode->file;
    while (!file.extents.is_sent(epoch)) {
        pump(inode, ExtentMap::Send::all, stability);
        if (!file.extents.is_sent(epoch)) co_await file.progress.wait();
    }
}

core::Task<void> Writer::flush(InodeRef inode, Reach reach, nfs::Stability stability) {
    if (!inode->file || inode->file->extents.empty()) co_return;
    auto& file = *inode->file;
    // One WRITE that the server puts on disk itself saves the COMMIT, if that is no slower here.
    std::optional<SyncChoice::Way> way;
    if (reach == Reach::disk && stability == nfs::Stability::unstable &&
        file.extents.is_one_batch(deps_.client.fs_info().write_max)) {
        way = sync_choice_.next();
        if (*way == SyncChoice::Way::file_sync) stability = nfs::Stability::file_sync;
    }
    const auto begun = deps_.clock.now();
    const auto errors = errors_;
    const auto epoch = file.extents.next_epoch();
    co_await sent(inode, epoch, stability);
    while (reach == Reach::disk && !file.extents.is_stable(epoch)) {
        if (!file.extents.is_sent(epoch)) {
            co_await sent(inode, epoch, stability);
        } else if (file.commit == FileState::Commit::under_way) {
            co_await file.progress.wait();
        } else {
            co_await commit(inode);
        }
    }
    if (way && errors == errors_) sync_choice_.took(*way, deps_.clock.now() - begun);
}

core::Task<void> Writer::hold(InodeRef inode) {
    pause(inode);
    auto& file = *inode->file;
    while (file.extents.batches_under_way() > 0) co_await file.progress.wait();
}

void Writer::resume(const InodeRef& inode) {
    auto& file = *inode->file;
    --file.holds;
    file.progress.notify_all();
    make_room(inode);
}

void Writer::note_overtaken(Inode& inode) {
    if (inode.file && !inode.file->extents.empty()) inode.file->extents.note_overtaken();
}

core::Task<void> Writer::catch_up(InodeRef inode) {
    // Once: what is overtaken meanwhile is so at the same time as whoever waits here.
    if (!inode->file || !inode->file->extents.is_overtaken()) co_return;
    co_await flush(inode, Reach::disk, nfs::Stability::unstable);
}

void Writer::truncate(const InodeRef& inode, std::uint64_t size, ExtentMap::Moment cut) {
    if (!inode->file || inode->file->extents.empty()) return;
    inode->file->extents.truncate(size, cut);
    settle(inode);
    inode->file->progress.notify_all();
}

void Writer::make_room(const InodeRef& inode) {
    // Somebody waits: parts of a call are better than none.
    if (budget_.has_waiters()) pump(inode, ExtentMap::Send::all, nfs::Stability::unstable);
    if (budget_.available() < static_cast<std::int64_t>(budget_bytes_ / 2)) commit_soon(inode);
}

void Writer::relieve() {
    const std::vector<InodeRef> inodes(active_.begin(), active_.end());
    for (const auto& inode : inodes) {
        pump(inode, ExtentMap::Send::all, nfs::Stability::unstable);
        commit_soon(inode);
    }
}

void Writer::arm_tick() {
    if (tick_ == Tick::armed) return;
    tick_ = Tick::armed;
    timer_.expires_after(kTick);
    timer_.async_wait([self = self_](const boost::system::error_code& error) {
        if (error || !*self) return;
        (*self)->tick_ = Tick::stopped;
        (*self)->tick();
    });
}

void Writer::tick() {
    const auto now = deps_.clock.now();
    const std::vector<InodeRef> inodes(active_.begin(), active_.end());
    for (const auto& inode : inodes) {
        const auto& extents = inode->file->extents;
        if (extents.dirty_since() < now - kSendAfter) {
            pump(inode, ExtentMap::Send::all, nfs::Stability::unstable);
        }
        if (extents.uncommitted_since() < now - kCommitAfter) commit_soon(inode);
    }
    if (!active_.empty()) arm_tick();
}

std::uint64_t Writer::bytes_held() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& inode : active_) sum += inode->file->extents.bytes();
    return sum;
}

void Writer::trim() noexcept {
    if (active_.empty()) log_.close();
}

}  // namespace uidnfs::fs
