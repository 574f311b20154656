// SPDX-License-Identifier: Apache-2.0
// What must be true of an arena before a worker, or whoever saves its bytes, goes on with it: all
// numbers within their bounds, all ids of things that are there, nobody's bytes in two files. The
// memory is shared with a process that died, so it is read as input. Changes nothing.
#pragma once

#include "core/arena.hpp"
#include "fs/records.hpp"
#include "mapper/credential.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::fs {

/// Nothing, or what is wrong, for people: "open 7 is of inode 12, which is not there". REQUIRES:
/// core::Arena::attach() took it, and nobody writes to it.
std::optional<std::string> find_damage(const core::Arena& arena, mapper::RootIdentity root);

/// Records that are as they should be, whatever is wrong with others; by index. What they speak of
/// is among them: the inode and the identity of an extent are, and its bytes are no other file's.
struct SoundRecords {
    std::vector<bool> inodes;
    std::vector<bool> credentials;
    std::vector<bool> written;
    std::vector<bool> extents;
};

struct Survey {
    std::optional<std::string> damage;  ///< the first that is wrong, as find_damage() says it
    std::size_t more = 0;               ///< so many others are, too
    SoundRecords sound;
};

/// Goes on behind the first damage. For who saves bytes, a person being the next to look at them;
/// whoever goes on with an arena believes all of it or nothing. REQUIRES: as find_damage().
Survey survey(const core::Arena& arena, mapper::RootIdentity root);

/// Of what Arena::attach() refused: "its state is of another version (...); ...".
std::string explain_refusal(const core::Error& error);

}  // namespace uidnfs::fs
