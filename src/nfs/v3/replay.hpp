// SPDX-License-Identifier: Apache-2.0
// Replay: what the answer to a call means that the server may have executed twice, because its
// first answer was lost with a connection and its duplicate request cache did not know the second.
// Pure.
#pragma once

#include "core/error.hpp"
#include "nfs/rpc/reply.hpp"
#include "nfs/types.hpp"
#include "nfs/v3/procedure.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace uidnfs::nfs::v3 {

enum class Replay : std::uint8_t {
    as_answered,  ///< the answer stands
    done,         ///< the first execution did it: success
    look,         ///< LOOKUP the name and ask matches()
};

/// REMOVE and RMDIR that find nothing have removed it before; MKDIR, SYMLINK, MKNOD, LINK and
/// CREATE that find the name, and a RENAME that does not, may have been executed before. The server
/// knows the verifier of an exclusive CREATE, but not before that is in the new file. An unchecked
/// one cannot fail so.
Replay interpret(
    Procedure procedure, rpc::Transmission transmission, const core::Error& error
) noexcept;

/// What a call that makes something has the server keep with it, to know it again: the access time.
/// It is drawn from the nanoseconds of the second that `now` is in, up to `now`: what is made has
/// the access time that it should, to the second, and not one after its mtime, so that a listing
/// moves it (relatime). matches() knows it where the server keeps 100 ns, microseconds or whole
/// seconds; of those last, calls of the same second cannot be told apart. Any word gives a time;
/// these words give times that are right.
std::uint64_t mark_at(
    std::chrono::sys_time<std::chrono::nanoseconds> now, std::uint64_t random
) noexcept;
/// One of now.
std::uint64_t draw_mark();
Time mark_time(std::uint64_t mark) noexcept;

/// What the call would have made.
struct Expected {
    FileType type = FileType::regular;
    std::optional<std::uint64_t> size = std::nullopt;    ///< a new file's, a symlink's
    std::optional<std::uint64_t> fileid = std::nullopt;  ///< LINK: the file that was linked
    std::optional<std::uint32_t> mode = std::nullopt;    ///< permission bits (0777) asked for
    /// What tells it from what somebody else made, who may have made the same at the same moment: a
    /// mark; or the verifier of an exclusive CREATE, which the server compares as soon as it is in
    /// the file. Nothing: LINK, an unchecked CREATE.
    enum class Told : std::uint8_t { by_shape, by_mark, by_verifier } told = Told::by_shape;
    std::optional<Time> mark = std::nullopt;  ///< that was sent; then nothing else counts
};

/// An error that may be for the mark alone: a file system that lets makers set no times.
bool may_be_for_mark(const core::Error& error) noexcept;

/// Whether what stands under the name now can be what the call made.
bool matches(const Expected& expected, const Attr& found) noexcept;

}  // namespace uidnfs::nfs::v3
