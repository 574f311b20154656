// SPDX-License-Identifier: Apache-2.0
// What is checked of a request that comes out of shared memory and not from the kernel, before
// libfuse reads it.
#pragma once

#include <cstddef>
#include <span>

namespace uidnfs::fuse {

/// The fixed part of its kind is there (linux/fuse.h 7.38), and each name that follows has its end.
bool is_whole(std::span<const std::byte> request) noexcept;

}  // namespace uidnfs::fuse
