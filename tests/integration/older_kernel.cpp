// SPDX-License-Identifier: Apache-2.0
// uidnfs as it is on Linux 6.1: of what the kernel offers at INIT it sees what that one has. The
// linker puts this in the place of fuse::offered_flags() (--wrap); the rest is the program's own.
#include <cstddef>
#include <cstdint>
#include <span>

// The names of the function, which the linker is told too.
#define OFFERED_FLAGS "_ZN6uidnfs4fuse13offered_flagsESt4spanIKSt4byteLm18446744073709551615EE"

namespace uidnfs::fuse {

std::uint64_t offered_by_this_kernel(std::span<const std::byte> request) noexcept
    asm("__real_" OFFERED_FLAGS);
std::uint64_t offered_by_an_older_one(std::span<const std::byte> request) noexcept
    asm("__wrap_" OFFERED_FLAGS);

std::uint64_t offered_by_an_older_one(std::span<const std::byte> request) noexcept {
    constexpr std::uint64_t kLastOfLinux61 = 1ull << 33;  // FUSE_HAS_INODE_DAX, 7.36
    return offered_by_this_kernel(request) & (kLastOfLinux61 | (kLastOfLinux61 - 1));
}

}  // namespace uidnfs::fuse
