// SPDX-License-Identifier: Apache-2.0
// Behaviour: what one NFS server does differently from another, within RFC 1813. A plain value; the
// defaults are a well-behaved Linux server.
#pragma once

#include "nfs/types.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace uidnfs::test {

/// Optional parts of replies: `alternating` leaves out every second one.
enum class Presence : std::uint8_t { always, never, alternating };
enum class Support : std::uint8_t { yes, no };
/// `high_bit`: bit 63 set, so that they are negative as off_t. `scattered`: hashed over 63 bits,
/// new names appear anywhere in a listing.
enum class CookieStyle : std::uint8_t { small, high_bit, scattered };
/// `changing`: a change of the directory makes older cookies BAD_COOKIE.
enum class CookieVerifiers : std::uint8_t { constant, changing };
enum class RootAccess : std::uint8_t { squashed, trusted };
/// `reused`: a new file gets the number of a removed one, as ext4 does.
enum class FileIds : std::uint8_t { fresh, reused };
/// Whether a handle of a file with no name left is stale at once, or answers GETATTR and ACCESS for
/// a while (Linux's server, which keeps files open that were read).
enum class Removed : std::uint8_t { stale, lingers };
/// `zero`: the server counts no links and says 0 of every file.
enum class Links : std::uint8_t { counted, zero };
/// What an unchecked CREATE says of a name that is no regular file (Linux's gives its handle).
enum class UncheckedCreate : std::uint8_t { refuses, gives };
/// Whether READ says that it reached the end.
enum class EndOfFile : std::uint8_t { told, never_told };
enum class ExportMode : std::uint8_t { read_write, read_only };

struct Behaviour {
    std::uint32_t read_max = 1 << 20;  ///< bytes; FSINFO rtmax etc.
    std::uint32_t read_preferred = 1 << 20;
    std::uint32_t write_max = 1 << 20;
    std::uint32_t write_preferred = 1 << 20;
    std::uint32_t directory_preferred = 32768;
    std::uint64_t max_file_size = 0x7fff'ffff'ffff'ffff;
    std::uint64_t capacity = std::uint64_t{1} << 40;  ///< bytes; beyond it NOSPC
    std::uint32_t name_max = 255;
    std::uint32_t link_max = 32000;
    std::size_t handle_bytes = 32;  ///< 24..64

    Presence post_op_attrs = Presence::always;
    Presence pre_op_attrs = Presence::always;
    Presence created_handles = Presence::always;  ///< in CREATE, MKDIR, SYMLINK, MKNOD
    Presence entry_handles = Presence::always;    ///< in READDIRPLUS
    Presence entry_attrs = Presence::always;
    Support readdirplus = Support::yes;
    Support exclusive_create = Support::yes;
    Support link_times = Support::yes;  ///< those that a SYMLINK sets; not NFS-Ganesha's
    UncheckedCreate unchecked_create = UncheckedCreate::refuses;
    CookieStyle cookies = CookieStyle::small;
    CookieVerifiers cookie_verifiers = CookieVerifiers::constant;
    FileIds file_ids = FileIds::fresh;
    Removed removed = Removed::stale;
    Links links = Links::counted;
    EndOfFile end_of_file = EndOfFile::told;
    RootAccess root = RootAccess::squashed;
    ExportMode mode = ExportMode::read_write;
    /// Every WRITE is at least this stable, whatever was asked.
    nfs::Stability least_stability = nfs::Stability::unstable;
    std::uint32_t longest_read = 0;   ///< bytes in one READ reply; 0: no limit
    std::uint32_t longest_write = 0;  ///< bytes that one WRITE takes; 0: no limit
    /// Recorded times are multiples of it: changes within one tick look the same.
    std::chrono::nanoseconds tick{1};
};

}  // namespace uidnfs::test
