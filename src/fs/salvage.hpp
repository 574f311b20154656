// SPDX-License-Identifier: Apache-2.0
// What an arena holds of bytes that applications were told are written and that no server has on
// its disk, for whoever must keep them elsewhere. Believes sound records only. Reads, changes
// nothing.
#pragma once

#include "core/arena.hpp"
#include "fs/arena_check.hpp"
#include "fs/records.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace uidnfs::fs {

struct UnwrittenRange {
    std::uint64_t offset = 0;
    std::span<const std::byte> bytes;       ///< in the arena
    std::uint32_t credential = kMountsOwn;  ///< number
};

struct UnwrittenFile {
    std::uint64_t fileid = 0;
    std::vector<std::byte> handle;
    std::string path;                    ///< below the export; empty: not known
    std::uint64_t ctime = 0;             ///< WrittenRecord::ctime
    std::vector<UnwrittenRange> ranges;  ///< in order, not overlapping
};

/// `sound`: of survey().
std::vector<UnwrittenFile> unwritten_files(const core::Arena& arena, const SoundRecords& sound);

/// By number - 1; those that are free, or not sound, are empty.
std::vector<CredentialRecord> recorded_credentials(
    const core::Arena& arena, const SoundRecords& sound
);

}  // namespace uidnfs::fs
