// SPDX-License-Identifier: Apache-2.0
// SparseBytes: the content of one file of the test server. Only touched chunks cost memory, so a file of
// 2^63-1 bytes fits; copies share chunks until one of them is written. Guarded by its owner.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace uidnfs::test {

class SparseBytes {
public:
    static constexpr std::uint64_t kChunk = 4096;

    std::uint64_t size() const noexcept { return size_; }
    /// Bytes that cost memory.
    std::uint64_t used() const noexcept { return chunks_.size() * kChunk; }

    /// At most `count` bytes from `offset`, fewer at the end of the file.
    std::vector<std::byte> read(std::uint64_t offset, std::uint64_t count) const;
    /// Extends the file when it ends beyond.
    void write(std::uint64_t offset, std::span<const std::byte> data);
    /// What is cut off reads as zero when the file grows again.
    void resize(std::uint64_t size);
    /// Makes [begin, end) the same as in `other`; the size is not changed.
    void copy_range(const SparseBytes& other, std::uint64_t begin, std::uint64_t end);

private:
    using Chunk = std::array<std::byte, kChunk>;
    Chunk& writable(std::uint64_t index);
    void store(std::uint64_t offset, std::span<const std::byte> data);
    void erase(std::uint64_t begin, std::uint64_t end);

    std::map<std::uint64_t, std::shared_ptr<Chunk>> chunks_;  // by offset / kChunk
    std::uint64_t size_ = 0;
};

/// A set of byte ranges [begin, end), merged where they touch.
class RangeSet {
public:
    struct Range {
        std::uint64_t begin;
        std::uint64_t end;
    };

    void add(std::uint64_t begin, std::uint64_t end);
    void remove(std::uint64_t begin, std::uint64_t end);
    /// The parts of [begin, end) that are in the set, in order.
    std::vector<Range> within(std::uint64_t begin, std::uint64_t end) const;
    bool empty() const noexcept { return ranges_.empty(); }
    std::uint64_t bytes() const noexcept;

private:
    std::map<std::uint64_t, std::uint64_t> ranges_;  // begin -> end
};

}  // namespace uidnfs::test
