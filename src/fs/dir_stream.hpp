// SPDX-License-Identifier: Apache-2.0
// DirStream: one open directory on its way through a listing: the page that the server sent last,
// and where the next one begins. Owned by its OpenFile; does no I/O. Reactor's thread only.
#pragma once

#include "fs/records.hpp"
#include "nfs/types.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace uidnfs::fs {

class DirStream {
public:
    DirStream(CursorRecords& records, std::uint64_t open);
    /// Goes on with the cursor of a worker that died.
    DirStream(CursorRecords& records, std::uint64_t open, CursorRecords::Index record);
    DirStream(const DirStream&) = delete;
    DirStream& operator=(const DirStream&) = delete;
    ~DirStream();

    /// d_off is a signed 64-bit number, a cookie an unsigned one: cookies with one of the two top
    /// bits set go through a table of this stream.
    std::uint64_t to_offset(std::uint64_t cookie);
    /// Nothing for an offset that this stream never gave out.
    std::optional<std::uint64_t> to_cookie(std::uint64_t offset) const;

    /// Whether the page holds the entry after `cookie`, or that the directory ends there.
    enum class Position : std::uint8_t { elsewhere, here, end };
    Position seek(std::uint64_t cookie);
    /// REQUIRES: seek() said `here`.
    const nfs::DirEntry& current() const { return page_.entries[next_]; }
    void advance();
    /// How many entries were delivered before `cookie`, as far as this stream went straight
    /// through.
    std::uint64_t delivered() const noexcept { return delivered_; }
    const std::string& last_name() const noexcept { return last_name_; }

    nfs::DirCursor cursor(std::uint64_t cookie) const noexcept { return {cookie, verifier_}; }
    void load(std::uint64_t from_cookie, nfs::DirPage page);
    /// After the server forgot `old_cookie`, the listing goes on at `new_cookie`.
    void continue_at(std::uint64_t old_cookie, std::uint64_t new_cookie);
    /// rewinddir(3), or the server forgot our cookies.
    void restart();

private:
    CursorRecords& records_;
    CursorRecords::Index record_;
    std::uint64_t open_;
    nfs::DirPage page_;
    std::uint64_t start_ = 0;  ///< cookie that page_ begins after
    std::size_t next_ = 0;
    enum class Loaded : std::uint8_t { no, yes } loaded_ = Loaded::no;
    nfs::Verifier verifier_{};
    std::string last_name_;
    std::uint64_t delivered_ = 0;
    std::optional<std::pair<std::uint64_t, std::uint64_t>>
        moved_;  ///< a forgotten cookie and its heir
    std::vector<std::uint64_t> large_cookies_;
    std::unordered_map<std::uint64_t, std::uint64_t> large_offsets_;
};

}  // namespace uidnfs::fs
