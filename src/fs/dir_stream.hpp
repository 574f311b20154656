// SPDX-License-Identifier: Apache-2.0
// DirStream: one open directory on its way through a listing: the page that the server sent last,
// and where the next one begins. Owned by its OpenFile; does no I/O. Reactor's thread only.
#pragma once

#include "core/clock.hpp"
#include "fs/attr_cache.hpp"
#include "fs/records.hpp"
#include "nfs/types.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace uidnfs::fs {

class DirStream {
public:
    /// Where the next worker finds what it needs of a stream.
    struct Journal {
        CursorRecords& cursors;
        CookieRecords& cookies;
    };
    /// What it finds.
    struct Found {
        CursorRecords::Index cursor = CursorRecords::kNone;
        std::deque<CookieRecords::Index> cookies = {};  ///< by their number, without gaps
        std::uint64_t first_number = 0;                 ///< of the first of them
        CookieRecords::Index end = CookieRecords::kNone;
    };

    DirStream(Journal journal, std::uint64_t open);
    /// Goes on with the stream of a worker that died.
    DirStream(Journal journal, std::uint64_t open, Found found);
    DirStream(const DirStream&) = delete;
    DirStream& operator=(const DirStream&) = delete;
    ~DirStream();

    /// d_off is a signed 64-bit number, a cookie an unsigned one: cookies with one of the two top
    /// bits set go through a table of this stream.
    std::uint64_t to_offset(std::uint64_t cookie);
    /// Nothing for an offset that this stream never gave out, or long ago.
    std::optional<std::uint64_t> to_cookie(std::uint64_t offset) const;

    /// Whether the page holds the entry after `cookie`, or that the directory ends there.
    enum class Position : std::uint8_t { elsewhere, here, end };
    Position seek(std::uint64_t cookie);
    /// REQUIRES: seek() said `here`.
    const nfs::DirEntry& current() const { return page_.entries[next_]; }
    void advance();
    /// Leaves the current entry out.
    void pass() noexcept {
        forgotten_.reset();
        ++next_;
    }
    /// The application has taken all before `cookie` and nothing behind it.
    void taken_up_to(std::uint64_t cookie);
    /// REQUIRES: seek() said `here`. After forgotten(): whether the current entry was delivered
    /// before.
    bool was_delivered() const;

    nfs::DirCursor cursor(std::uint64_t cookie) const noexcept { return {cookie, verifier_}; }
    /// `round`: reading on from page to page led back to where one of them began; the listing would
    /// never end.
    enum class Way : std::uint8_t { on, round };
    Way load(std::uint64_t from_cookie, nfs::DirPage page, Asked asked);
    /// When the page was asked for.
    const Asked& asked() const noexcept { return asked_; }
    /// Whether all that was delivered is remembered.
    bool can_begin_again() const noexcept { return delivered_.size() < kRemembered; }
    /// The server does not know `cookie` any more (NFS3ERR_BAD_COOKIE): the listing begins again,
    /// and what was delivered is passed over. REQUIRES: can_begin_again().
    void forgotten(std::uint64_t cookie);
    /// rewinddir(3).
    void restart();

    /// So much is remembered of one listing, of a directory that has no end as well.
    static constexpr std::size_t kRemembered = 1u << 20;

private:
    Way way_to(std::uint64_t from_cookie) noexcept;
    void note_end(std::uint64_t cookie);
    void forget_end();
    void drop_oldest_cookie();

    /// Names are remembered by a hash of 64 bits, so that a directory of 100,000 costs 1.6 MB while
    /// it is listed.
    struct Delivered {
        std::uint64_t name;
        std::uint64_t cookie;
    };

    Journal journal_;
    Found records_;
    std::uint64_t open_;
    nfs::DirPage page_;
    std::uint64_t start_ = 0;  ///< cookie that page_ begins after
    std::size_t next_ = 0;
    enum class Loaded : std::uint8_t { no, yes } loaded_ = Loaded::no;
    /// After this the listing has ended. The server is not asked what follows its last cookie,
    /// which some answer with the whole directory; a kernel's client hardly ever asks that.
    std::optional<std::uint64_t> end_;
    nfs::Verifier verifier_{};
    Asked asked_;
    std::vector<Delivered> delivered_;  ///< in order
    std::unordered_set<std::uint64_t>
        passed_over_;                          ///< delivered before the server forgot our place
    std::optional<std::uint64_t> forgotten_;   ///< stands for the beginning now
    std::deque<std::uint64_t> large_cookies_;  ///< the last kRemembered of them
    std::uint64_t large_dropped_ = 0;          ///< before these
    std::unordered_map<std::uint64_t, std::uint64_t> large_offsets_;
    // Brent's search for a cycle among the cookies that pages begin after: a mark, which moves on
    // after twice as many pages each time.
    std::uint64_t mark_ = 0;
    std::uint64_t pages_since_mark_ = 0;
    std::uint64_t pages_to_next_mark_ = 1;
};

}  // namespace uidnfs::fs
