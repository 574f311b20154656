// SPDX-License-Identifier: Apache-2.0
// Replay: what the answer to a call means that the server may have executed twice, because its
// first answer was lost with a connection and its duplicate request cache did not know the second.
// Pure.
#pragma once

#include "core/error.hpp"
#include "nfs/rpc/reply.hpp"
#include "nfs/types.hpp"
#include "nfs/v3/procedure.hpp"

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

/// What the call would have made. A directory or FIFO that somebody else made at the same moment
/// with the same mode cannot be told from ours.
struct Expected {
    FileType type = FileType::regular;
    std::optional<std::uint64_t> size = std::nullopt;    ///< a new file's, a symlink's
    std::optional<std::uint64_t> fileid = std::nullopt;  ///< LINK: the file that was linked
    std::optional<std::uint32_t> mode = std::nullopt;    ///< permission bits (0777) asked for
    /// An exclusive CREATE: the server knows its own, as soon as the verifier is in the file.
    /// Nothing else tells it from somebody's lock file.
    enum class Verifier : std::uint8_t { none, sent } verifier = Verifier::none;
};

/// Whether what stands under the name now can be what the call made.
bool matches(const Expected& expected, const Attr& found) noexcept;

}  // namespace uidnfs::nfs::v3
