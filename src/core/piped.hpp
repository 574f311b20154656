// SPDX-License-Identifier: Apache-2.0
// Payload that never comes to user space: splice(2) puts the pages of a socket into a pipe, tee(2)
// and splice(2) hand them on. Whoever looks at such bytes through a Slice gets them copied into
// memory first, so that only those that pass them on have to know. Reactor's thread.
#pragma once

#include "core/buffer.hpp"
#include "core/fd.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace uidnfs::core {

/// One pipe(7), not blocking.
struct Pipe {
    Fd out;  ///< to read from
    Fd in;   ///< to write to

    /// Nothing where the kernel refuses a pipe of Pipes::kBytes: too many descriptors, or more than
    /// /proc/sys/fs/pipe-user-pages-soft of this user.
    static std::optional<Pipe> make() noexcept;
    bool is_full() const noexcept;
};

/// Empty pipes that are used again.
class Pipes {
public:
    /// Largest size for everybody unless /proc/sys/fs/pipe-max-size says less; its 256 places hold
    /// a record of 1 MiB that came in pieces of 4 KiB and more.
    static constexpr std::size_t kBytes = 1u << 20;
    /// A user has 64 pipes of this size (pipe-user-pages-soft), for all mounts and other programs.
    static constexpr std::size_t kMost = 8;

    Pipes() = default;
    Pipes(const Pipes&) = delete;
    Pipes& operator=(const Pipes&) = delete;

    /// Nothing while all are in use, where there are none, and for a while after does_not_fit().
    std::optional<Pipe> take();
    /// `left`: bytes that are still in it.
    void give_back(Pipe pipe, std::size_t left) noexcept;
    /// A record came in too many pieces, as from a network card that does not join them: each time
    /// the next try is further away.
    void does_not_fit() noexcept;
    void fits() noexcept { pause_ = kFirstPause; }
    /// Closes those that are not used.
    void trim() noexcept;

private:
    static constexpr std::uint32_t kFirstPause = 16;
    static constexpr std::uint32_t kLongestPause = 1u << 16;

    std::vector<Pipe> free_;
    std::size_t used_ = 0;
    std::uint32_t pause_ = kFirstPause;  ///< records until the next try
    std::uint32_t wait_ = 0;             ///< of them, those that are left
    Fd nowhere_;                         ///< /dev/null
};

/// A block of which the end is in a pipe until somebody looks at it.
class PipedMemory final : public SharedMemory {
public:
    /// The pipe holds `piped` bytes, whose place is behind `from`. Both are given back to where
    /// they came from.
    /// REQUIRES: they lie in the block.
    PipedMemory(
        BufferPool::Block& block, const std::byte* from, std::size_t piped, Pipe pipe, Pipes& pipes
    ) noexcept;

    /// Whether the first `size` bytes behind `at` can be passed on without looking at them: what is
    /// not in the pipe must be their beginning.
    bool can_pass(const std::byte* at, std::size_t size) const noexcept;
    /// How many bytes from `at` on are not in the pipe.
    std::size_t here(const std::byte* at) const noexcept {
        return at < from_ ? static_cast<std::size_t>(from_ - at) : 0;
    }
    /// Puts a reference to the first `size` bytes of the pipe behind what `to` holds. False: `to`
    /// has no room for them, it may hold a part.
    bool pass(const Pipe& to, std::size_t size) const noexcept;

private:
    ~PipedMemory() = default;
    void recycle() noexcept override;
    void bring() noexcept override;

    BufferPool::Block& block_;
    const std::byte* from_;
    std::size_t bytes_;
    Pipe pipe_;
    Pipes& pipes_;
};

/// As much of the beginning of `slice` as is here; all of it where nothing is in a pipe.
inline std::span<const std::byte> beginning(const Slice& slice) noexcept {
    const auto place = slice.place();
    const auto* const piped = slice.piped();
    return piped ? place.first(std::min(piped->here(place.data()), place.size())) : place;
}

/// Reads exactly `size` bytes that a pipe holds. They are gone from it.
void read_pipe(const Pipe& pipe, std::byte* to, std::size_t size) noexcept;

}  // namespace uidnfs::core
