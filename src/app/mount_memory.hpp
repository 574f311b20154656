// SPDX-License-Identifier: Apache-2.0
// MountMemory: the arena of a mount: the regions of all rooms, and what the worker keeps in it
// itself, the state of its NFS client. The keeper makes it and never reads it.
#pragma once

#include "core/arena.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace uidnfs::app {

/// Of every arena of a mount.
std::vector<core::RegionSpec> mount_regions();

class ClientMemory {
public:
    /// REQUIRES: the arena has mount_regions().
    explicit ClientMemory(const core::Arena& arena) : records_(arena.region(kRegion)) {}

    /// The last that was saved; empty: none.
    std::vector<std::byte> load() const;
    /// Nothing happens when it is the same as before.
    void save(std::span<const std::byte> state);

private:
    friend std::vector<core::RegionSpec> mount_regions();

    static constexpr std::uint32_t kRegion = 48;
    static constexpr std::size_t kMaxBytes = 1000;
    struct Record {
        std::uint64_t version;  ///< of two the higher one counts
        std::uint64_t size;
        std::array<std::byte, kMaxBytes> bytes;
    };
    using Records = core::Table<Record>;

    Records::Index newest() const;

    Records records_;
};

}  // namespace uidnfs::app
