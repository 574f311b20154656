// SPDX-License-Identifier: Apache-2.0
// What must be true of an arena before a worker, or whoever saves its bytes, goes on with it: all
// numbers within their bounds, all ids of things that are there, nobody's bytes in two files. The
// memory is shared with a process that died, so it is read as input. Changes nothing.
#pragma once

#include "core/arena.hpp"
#include "fs/records.hpp"
#include "mapper/credential.hpp"

#include <optional>
#include <string>

namespace uidnfs::fs {

/// Nothing, or what is wrong, for people: "open 7 is of inode 12, which is not there". REQUIRES:
/// core::Arena::attach() took it, and nobody writes to it.
std::optional<std::string> find_damage(const core::Arena& arena, mapper::RootIdentity root);

/// Of what Arena::attach() refused: "its state is of another version (...); ...".
std::string explain_refusal(const core::Error& error);

}  // namespace uidnfs::fs
