// SPDX-License-Identifier: Apache-2.0
// ReadAhead: what the server was asked for before the application asks: the content of a small file
// together with its open, and the next stretch of a file that somebody reads from front to back.
// Owned by one OpenFile; all of a mount share a ReadAhead::House. Reactor's thread only.
//
// INVARIANT: bytes are given out only if nothing is known to have changed the file since they were
// asked for (Inode::content), the stamp that came with them is what the file had before and has now,
// and they are not older than the attributes may be (docs/decisions/0014).
#pragma once

#include "core/clock.hpp"
#include "core/event.hpp"
#include "fs/extent_map.hpp"
#include "fs/inode.hpp"
#include "nfs/client.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace uidnfs::fs {

class ReadAhead {
public:
    /// A file of at most so many bytes may come with its open.
    static constexpr std::uint64_t kSmall = 64u << 10;
    /// Bytes asked for, or here and not yet taken, of one file and of a mount.
    static constexpr std::uint64_t kMostOfOne = 16u << 20;
    static constexpr std::uint64_t kMostOfAll = 32u << 20;

    /// What the open files of a mount have in common; shared with their calls under way.
    struct House {
        House(core::Reactor& reactor_, nfs::Client& client_, const core::Clock& clock_) noexcept
            : reactor(reactor_), client(client_), clock(clock_) {}

        core::Reactor& reactor;
        nfs::Client& client;
        const core::Clock& clock;
        /// Attributes that came with a READ; empty once nobody wants to know.
        std::function<void(const InodeRef&, const nfs::Attr&, AttrCache::Token)> learn;
        /// The budget is used up: whoever holds bytes that are too old lets go of them.
        std::function<void()> make_room;
        core::SteadyTime made_room = core::SteadyTime::min();
        core::SteadyDuration believed{0};  ///< no bytes are older; 0: nothing is read ahead
        std::uint64_t held = 0;            ///< bytes, as charged
        std::uint64_t hits = 0;    ///< reads of applications that needed no READ of their own
        std::uint64_t unused = 0;  ///< READs that nobody needed
        /// Whether those who open small files go on to read them: each that does counts one up,
        /// each that does not one down. At 0 only every sixteenth open is tried.
        std::uint32_t credit = 8;
        std::uint32_t opens = 0;

        /// Whether so many bytes more may be asked for.
        bool has_room(std::uint64_t charge);
    };

    using HouseRef = std::shared_ptr<House>;

    ReadAhead(HouseRef house, InodeRef inode, nfs::CallContext context, nfs::OpenRef open);
    ReadAhead(const ReadAhead&) = delete;
    ReadAhead& operator=(const ReadAhead&) = delete;
    ~ReadAhead() { drop(); }

    /// Whether a file of so many bytes is worth a READ together with its open.
    static bool wants_small(House& house, std::uint64_t size);
    /// The whole of a small file is asked for now.
    void begin_small(std::uint64_t size);

    struct Found {
        std::vector<ExtentMap::Piece> pieces;     ///< in order, without overlap
        std::optional<std::uint64_t> server_end;  ///< of the file, where it is known
        /// The server could not be asked while the application waited: no need to try once more.
        std::optional<core::Error> error;
    };
    /// An application reads: takes what is there or on its way, and asks for what comes next.
    core::Task<Found> read(std::uint64_t offset, std::uint64_t size);
    /// Forgets what was asked for.
    void drop() noexcept;
    /// The same, if it is too old to be shown.
    void drop_old() noexcept;

private:
    struct Chunk {
        Chunk(HouseRef house_, std::uint64_t offset_, std::uint32_t size_);
        Chunk(const Chunk&) = delete;
        Chunk& operator=(const Chunk&) = delete;
        ~Chunk();

        const HouseRef house;
        const std::uint64_t offset;
        const std::uint32_t size;
        const std::uint64_t charge;
        const core::SteadyTime asked;
        core::SteadyDuration believed;
        std::uint64_t content = 0;  ///< Inode::content when it was asked for
        enum class Origin : std::uint8_t { open, sequence } origin = Origin::sequence;
        enum class Stage : std::uint8_t { under_way, here, failed } stage = Stage::under_way;
        enum class Used : std::uint8_t { no, yes } used = Used::no;
        core::Slice data;
        nfs::ReadReply::End end = nfs::ReadReply::End::no;
        Stamp before;  ///< of the file when it was asked for
        Stamp stamp;   ///< that came with the bytes
        std::optional<core::Error> error;
        core::Event arrived;
        std::uint64_t behind() const noexcept { return offset + size; }
    };
    using ChunkRef = std::shared_ptr<Chunk>;

    static core::Task<void> fetch(
        ChunkRef chunk, InodeRef inode, nfs::CallContext context, nfs::OpenRef open
    );
    static core::Task<void> take_from_pipe(HouseRef house, std::weak_ptr<const Chunk> chunk);
    bool start(std::uint64_t offset, std::uint32_t size, Chunk::Origin origin);
    void follow(std::uint64_t offset, std::uint64_t size);
    bool is_young(const Chunk& chunk) const noexcept;
    bool is_good(const Chunk& chunk) const;
    bool covers(std::uint64_t offset) const noexcept;

    HouseRef house_;
    InodeRef inode_;
    nfs::CallContext context_;
    nfs::OpenRef open_;
    std::vector<ChunkRef> chunks_;  ///< by offset, without overlap
    std::uint64_t next_ = 0;        ///< where a sequential reader goes on
    std::uint64_t window_ = 0;      ///< bytes to be ahead of it; grows while it has to wait
    std::uint32_t run_ = 0;         ///< reads in sequence
    std::uint32_t rest_ = 0;        ///< more of them than usual, while somebody changes the file
    core::SteadyTime last_{};
};

}  // namespace uidnfs::fs
