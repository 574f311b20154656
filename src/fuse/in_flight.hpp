// SPDX-License-Identifier: Apache-2.0
// InFlight: a record in the arena for each request of the kernel that has no answer yet, so that
// the next worker knows of a request that comes again what was done for it. Where the kernel does
// not send it again the record keeps the slot that it was read into. SessionMemory: that and the
// INIT exchange; all that a session leaves behind. Owned by the worker's main; reactor's thread
// only.
#pragma once

#include "core/arena.hpp"
#include "core/error.hpp"
#include "core/progress.hpp"
#include "core/slots.hpp"
#include "fuse/init.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace uidnfs::fuse {

struct InFlightRecord {
    std::uint64_t unique;  ///< of the kernel, without its mark for resent ones; 0: free
    core::ProgressRecord progress;
    std::uint64_t open;   ///< made for the reply, which may not have arrived; 0: none
    std::uint64_t entry;  ///< its lookup count was raised for the reply; 0: none
    std::uint32_t opcode;
    std::uint16_t suspicion;  ///< by the deaths of workers that had it
    enum Stand : std::uint16_t {
        among_others = 0,
        alone = 1,     ///< no other suspicious one was being worked on
        released = 2,  ///< answered EINTR; the operation goes on
    };
    std::uint16_t stand;
    std::uint32_t slot;  ///< where the request lies, + 1; 0: the kernel sends it again
    std::uint32_t reserved;
};

/// A request that a worker had read and not answered, as the kernel wrote it.
struct KeptRequest {
    std::uint64_t unique;
    std::uint32_t opcode;
    core::Slice keep;  ///< of the slot that holds it
    core::Slot* slot;
    std::span<std::byte> bytes;
};

class InFlight {
public:
    using Index = std::uint32_t;
    static constexpr Index kNone = ~Index{0};
    static constexpr std::uint64_t kCapacity = 1u << 16;
    /// How a worker died that had a request.
    enum class Death : std::uint8_t {
        failed,  ///< it crashed or hung: a request may be the reason
        killed,  ///< by somebody's SIGKILL: hardly because of a request, unless memory ran out
    };
    /// What a death adds to a request's suspicion, and how much of it has a request worked on
    /// alone, to see whether it is the reason: two failures, or eight kills.
    static constexpr std::uint16_t weight(Death death) noexcept {
        return death == Death::failed ? 4 : 1;
    }
    static constexpr std::uint16_t kSuspicious = 8;

    explicit InFlight(const core::Region& region);
    InFlight(const InFlight&) = delete;
    InFlight& operator=(const InFlight&) = delete;

    /// The requests of before that were kept; their slots are taken out of the free ones. EPROTO:
    /// what lies there is not what the record says.
    core::Result<std::vector<KeptRequest>> adopt(core::SlotPool& slots);
    /// One that a worker before had read and made no record of. False: it had.
    bool adopt(const KeptRequest& request);

    /// A request that comes for the first time. `keep`: the slot that it lies in and is kept in
    /// until the record ends; nullptr: the kernel sends it again. kNone: the table is full, and it
    /// has no record.
    Index begin(std::uint64_t unique, std::uint32_t opcode, core::Slot* keep);
    /// One that a worker before had, which died so: its record; kNone: it had none.
    Index resume(std::uint64_t unique, Death death);
    /// Those of before that did not come again have their answers.
    void settle();

    void end(Index index) noexcept;
    const InFlightRecord& operator[](Index index) const noexcept { return at(index); }
    core::Progress progress(Index index) noexcept {
        return index == kNone ? core::Progress() : core::Progress(at(index).progress);
    }
    /// What the reply will hand over; before it is sent.
    void note_reply(Index index, std::uint64_t open, std::uint64_t entry) noexcept;
    void set_stand(Index index, InFlightRecord::Stand stand) noexcept;

    std::size_t size() const noexcept { return used_; }

private:
    void keep(Index index, core::Slot& slot);
    InFlightRecord& at(Index index) const noexcept {
        return *reinterpret_cast<InFlightRecord*>(
            region_.base + std::uint64_t{index} * region_.stride
        );
    }

    core::Region region_;
    std::vector<Index> free_;
    std::size_t used_ = 0;
    std::unordered_map<std::uint64_t, Index> before_;  ///< by unique; those not yet resumed
    std::vector<core::Slot*> kept_;                    ///< by index, of records with a slot
};

/// Which slot read(2) is filling: a process can die after the kernel has given a request and before
/// there is a record of it.
class ReadMark {
public:
    explicit ReadMark(std::uint64_t& word) noexcept : word_(&word) {}

    void set(core::Slot& slot) noexcept;
    /// Before the slot is anybody else's: bytes of a file must not be taken for a request.
    void clear() noexcept;
    /// The slot + 1; 0: none.
    std::uint64_t get() const noexcept { return *word_; }

private:
    std::uint64_t* word_;
};

class SessionMemory {
public:
    /// Regions that the arena of a mount must have besides those of the file system.
    static std::span<const core::RegionSpec> arena_regions();

    explicit SessionMemory(const core::Arena& arena);

    InFlight& in_flight() noexcept { return in_flight_; }
    ReadMark& read_mark() noexcept { return read_mark_; }
    /// What a worker before had read and not answered, oldest first; all of it has records
    /// afterwards. Nothing where the kernel sends it again. EPROTO: damage.
    core::Result<std::vector<KeptRequest>> adopt(core::SlotPool& slots);
    /// Nothing when no INIT was answered, or what is there is not one.
    std::optional<InitExchange> init() const;
    /// As init(), of a mount that somebody else serves.
    static std::optional<InitExchange> init_in(const core::Arena& arena);
    /// Once in the life of a mount.
    void save(const InitExchange& exchange) noexcept;

private:
    static std::optional<InitExchange> read_init(const core::Region& region);

    core::Region init_region_;
    InFlight in_flight_;
    ReadMark read_mark_;
};

}  // namespace uidnfs::fuse
