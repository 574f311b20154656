// SPDX-License-Identifier: Apache-2.0
// ExtentMap: the bytes of one file that applications were told are written and that the server does
// not have on disk yet. Decides what to send next and what a reply means; does no I/O. Every extent
// is mirrored as a record in the arena, in an order that leaves either the old bytes or the new
// ones to whoever finds it (docs/decisions/0013). Owned by the file's Inode; reactor's thread only.
//
// INVARIANT: extents do not overlap; the newest bytes win. A WRITE under way owns copies of its
// slices, so an extent may be cut while it is being sent.
#pragma once

#include "core/buffer.hpp"
#include "core/clock.hpp"
#include "fs/records.hpp"
#include "nfs/types.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace uidnfs::fs {

/// Where extents are mirrored.
struct ExtentJournal {
    ExtentRecords& records;
    const std::byte* slot_base;  ///< start of the slot region
};

class ExtentMap {
public:
    /// Extents put in before next_epoch() have a smaller epoch than those after it, so that a flush
    /// ends although somebody goes on writing.
    using Epoch = std::uint64_t;

    /// Counted against the budget besides its bytes: a million one-byte writes are not free.
    static constexpr std::uint64_t kExtentCost = 512;
    /// Slices in one WRITE (well below IOV_MAX).
    static constexpr std::size_t kMaxSlices = 256;

    /// Index of FileState::origins: bytes of two origins never share a WRITE.
    using Origin = std::uint32_t;

    /// Through which open file bytes came, and the number of their identity in the arena.
    struct From {
        Origin origin = 0;
        std::uint32_t credential = kMountsOwn;
    };

    struct Batch {
        std::uint32_t id = 0;
        Origin origin = 0;
        std::uint64_t offset = 0;
        std::uint32_t length = 0;
        std::vector<core::Slice> slices;
    };

    enum class Send : std::uint8_t {
        full_only,  ///< only what fills a WRITE
        all,
    };

    ExtentMap(ExtentJournal journal, std::uint64_t inode) noexcept
        : journal_(journal), inode_(inode) {}
    ExtentMap(const ExtentMap&) = delete;
    ExtentMap& operator=(const ExtentMap&) = delete;
    ~ExtentMap();

    /// Rebuilds from a record of a worker that died. Bytes that were on their way must be sent
    /// again; of those that the server answered, the COMMIT says whether it has them still.
    /// REQUIRES: records come in the order that they say.
    void restore(std::uint32_t record_index, core::Slice data, Origin origin, core::SteadyTime now);
    /// The same for a cut; its record is done with.
    void restore_cut(std::uint32_t record_index);

    /// ENOSPC of the journal (too many extents): false, and nothing changed.
    enum class Inserted : std::uint8_t { yes, no_room };
    Inserted insert(std::uint64_t offset, core::Slice data, From from, core::SteadyTime now);
    /// A moment between what was put in before it and what is put in after.
    struct Moment {
        Epoch epoch = 0;
        std::uint64_t order = 0;
    };
    Moment mark() noexcept { return {next_epoch(), next_order_++}; }
    /// Forgets everything at and beyond `size` that was put in before `cut`: the file was cut then.
    void truncate(std::uint64_t size, Moment cut);

    /// The next WRITE that may be sent now: at most `limit` bytes, never overlapping one under way.
    std::optional<Batch> next_batch(std::uint32_t limit, Send what);
    /// The dirty bytes around `offset` fill a WRITE; the next search begins with them.
    bool seek_full_run(std::uint64_t offset, std::uint32_t limit);
    /// All that is not sent fits one WRITE, and nothing is under way or uncommitted.
    bool is_one_batch(std::uint32_t limit) const;
    /// The server took the first `count` bytes; `stable` ones are done.
    enum class Kept : std::uint8_t { volatile_memory, disk };
    void sent(
        const Batch& batch,
        std::uint32_t count,
        Kept kept,
        const nfs::Verifier& verifier,
        core::SteadyTime now
    );
    /// The server refused: the bytes are lost (their error is told elsewhere).
    void failed(const Batch& batch, core::SteadyTime now);

    /// Marks what a COMMIT sent now covers, and says whose bytes that are, each once.
    std::vector<Origin> begin_commit();
    /// Bytes under another verifier were lost by the server and become dirty again: how many
    /// extents.
    std::size_t committed(const nfs::Verifier& verifier, core::SteadyTime now);
    void commit_failed();

    Epoch next_epoch() noexcept { return epoch_++; }
    /// Everything up to `epoch` was answered by the server (or given up).
    bool is_sent(Epoch epoch) const noexcept;
    /// Everything up to `epoch` is on the server's disk (or given up).
    bool is_stable(Epoch epoch) const noexcept;

    /// Somebody else changed the file: of what overlaps, only the server knows which is newer.
    void note_overtaken() noexcept { overtaken_ = next_epoch(); }
    /// Bytes from before that are held still: what is held must not be shown.
    bool is_overtaken() const noexcept { return !is_stable(overtaken_); }

    struct Piece {
        std::uint64_t offset;
        core::Slice data;
    };
    /// What is held of a range, in order. A READ shows it only after the WRITE, and not after a
    /// server that lost it came back.
    std::vector<Piece> within(std::uint64_t offset, std::uint64_t length) const;
    /// Whether exactly these bytes are held there.
    bool holds(std::uint64_t offset, const core::Slice& data) const;
    /// End of the last byte held; 0 when empty.
    std::uint64_t end() const noexcept;
    bool empty() const noexcept { return extents_.empty(); }
    bool has_unsent() const noexcept { return !unsent_.empty(); }
    bool has_uncommitted() const noexcept { return uncommitted_bytes_ > 0; }
    std::size_t batches_under_way() const noexcept { return under_way_.size(); }
    std::uint64_t bytes() const noexcept { return bytes_; }
    std::uint64_t dirty_bytes() const noexcept { return dirty_bytes_; }
    /// bytes() and what the extents themselves cost.
    std::uint64_t footprint() const noexcept { return bytes_ + extents_.size() * kExtentCost; }
    /// When the oldest bytes that are dirty, or uncommitted, were put in; max() when there are
    /// none.
    core::SteadyTime dirty_since() const noexcept { return dirty_since_; }
    core::SteadyTime uncommitted_since() const noexcept { return uncommitted_since_; }

    template <class F>
    void for_each(F&& visit) const {
        for (const auto& [offset, extent] : extents_) visit(offset, extent.data.size());
    }

private:
    struct Extent {
        core::Slice data;
        ExtentState state = ExtentState::dirty;
        Origin origin = 0;
        std::uint32_t batch = 0;  ///< the WRITE that carries it; with `uncommitted`, the COMMIT
        std::uint32_t credential = kMountsOwn;
        Epoch epoch = 0;
        std::uint64_t order = 0;
        nfs::Verifier verifier{};
        std::uint32_t record = ExtentRecords::kNone;
    };
    using Extents = std::map<std::uint64_t, Extent>;
    struct UnderWay {
        std::uint32_t id;
        std::uint64_t offset;
        std::uint64_t end;
    };

    /// Nothing that was put in up to `last` is left between them.
    void carve(std::uint64_t begin, std::uint64_t end, Epoch last = ~Epoch{0});
    /// Splits the extent that contains `at` strictly inside, so that an extent begins there.
    void split(std::uint64_t at);
    bool overlaps(std::uint64_t begin, std::uint64_t end) const noexcept;
    bool extend_previous(std::uint64_t offset, const core::Slice& data, Origin origin);
    Extents::iterator add(std::uint64_t offset, Extent extent);
    Extents::iterator remove(Extents::iterator it);
    void set_state(Extents::iterator it, ExtentState state);
    void account(const Extent& extent, int sign);
    std::uint32_t record(std::uint64_t offset, const Extent& extent);
    void record_length(const Extent& extent);
    void record_verifier(const Extent& extent);
    void unrecord(const Extent& extent);
    bool is_under_way(std::uint64_t begin, std::uint64_t end) const noexcept;
    void index(Extents::iterator it);
    Batch take(Extents::iterator first, std::uint64_t end, std::size_t slices);

    ExtentJournal journal_;
    std::uint64_t inode_;
    Extents extents_;
    std::set<std::uint64_t> dirty_;  ///< where the dirty ones of extents_ begin
    /// Whether dirty neighbours that fill a WRITE may be waiting; `none` after a search in vain.
    enum class FullRuns : std::uint8_t { none, maybe } full_runs_ = FullRuns::none;
    std::vector<UnderWay> under_way_;
    std::map<Epoch, std::size_t> unsent_;  ///< extents dirty or being sent, by epoch
    std::map<Epoch, std::size_t> held_;    ///< all extents, by epoch
    Epoch epoch_ = 1;
    Epoch overtaken_ = 0;
    std::uint64_t next_order_ = 1;
    std::uint32_t next_id_ = 1;
    std::uint32_t commit_id_ = 0;
    std::uint64_t cursor_ = 0;  ///< where the search for a batch goes on
    std::uint64_t bytes_ = 0;
    std::uint64_t dirty_bytes_ = 0;
    std::uint64_t uncommitted_bytes_ = 0;
    core::SteadyTime dirty_since_ = core::SteadyTime::max();
    core::SteadyTime uncommitted_since_ = core::SteadyTime::max();
};

}  // namespace uidnfs::fs
