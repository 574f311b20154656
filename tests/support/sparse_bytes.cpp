// SPDX-License-Identifier: Apache-2.0
#include "support/sparse_bytes.hpp"

#include <algorithm>
#include <cstring>

namespace uidnfs::test {

std::vector<std::byte> SparseBytes::read(std::uint64_t offset, std::uint64_t count) const {
    if (offset >= size_) return {};
    std::vector<std::byte> out(std::min(count, size_ - offset));
    const auto end = offset + out.size();
    for (auto it = chunks_.lower_bound(offset / kChunk); it != chunks_.end(); ++it) {
        const auto base = it->first * kChunk;
        if (base >= end) break;
        const auto from = std::max(offset, base);
        const auto to = std::min(end, base + kChunk);
        std::memcpy(out.data() + (from - offset), it->second->data() + (from - base), to - from);
    }
    return out;
}

void SparseBytes::write(std::uint64_t offset, std::span<const std::byte> data) {
    store(offset, data);
    size_ = std::max(size_, offset + data.size());
}

void SparseBytes::resize(std::uint64_t size) {
    if (size < size_) erase(size, size_);
    size_ = size;
}

void SparseBytes::copy_range(const SparseBytes& other, std::uint64_t begin, std::uint64_t end) {
    erase(begin, end);
    for (auto it = other.chunks_.lower_bound(begin / kChunk); it != other.chunks_.end(); ++it) {
        const auto base = it->first * kChunk;
        if (base >= end) break;
        const auto from = std::max(begin, base);
        const auto to = std::min(end, base + kChunk);
        store(from, {it->second->data() + (from - base), to - from});
    }
}

SparseBytes::Chunk& SparseBytes::writable(std::uint64_t index) {
    auto& chunk = chunks_[index];
    if (!chunk) {
        chunk = std::make_shared<Chunk>();
    } else if (chunk.use_count() > 1) {
        chunk = std::make_shared<Chunk>(*chunk);
    }
    return *chunk;
}

void SparseBytes::store(std::uint64_t offset, std::span<const std::byte> data) {
    while (!data.empty()) {
        const auto inside = offset % kChunk;
        const auto length = std::min<std::uint64_t>(data.size(), kChunk - inside);
        std::memcpy(writable(offset / kChunk).data() + inside, data.data(), length);
        offset += length;
        data = data.subspan(length);
    }
}

void SparseBytes::erase(std::uint64_t begin, std::uint64_t end) {
    for (auto it = chunks_.lower_bound(begin / kChunk); it != chunks_.end();) {
        const auto base = it->first * kChunk;
        if (base >= end) break;
        const auto from = std::max(begin, base);
        const auto to = std::min(end, base + kChunk);
        if (to - from == kChunk) {
            it = chunks_.erase(it);
            continue;
        }
        auto& chunk = writable(it->first);
        std::memset(chunk.data() + (from - base), 0, to - from);
        ++it;
    }
}

void RangeSet::add(std::uint64_t begin, std::uint64_t end) {
    if (begin >= end) return;
    auto it = ranges_.upper_bound(begin);
    if (it != ranges_.begin() && std::prev(it)->second >= begin) --it;
    while (it != ranges_.end() && it->first <= end) {
        begin = std::min(begin, it->first);
        end = std::max(end, it->second);
        it = ranges_.erase(it);
    }
    ranges_[begin] = end;
}

void RangeSet::remove(std::uint64_t begin, std::uint64_t end) {
    for (const auto& part : within(begin, end)) {
        auto it = std::prev(ranges_.upper_bound(part.begin));
        const auto [first, last] = *it;
        ranges_.erase(it);
        if (first < part.begin) ranges_[first] = part.begin;
        if (part.end < last) ranges_[part.end] = last;
    }
}

std::vector<RangeSet::Range> RangeSet::within(std::uint64_t begin, std::uint64_t end) const {
    std::vector<Range> out;
    auto it = ranges_.upper_bound(begin);
    if (it != ranges_.begin()) --it;
    for (; it != ranges_.end() && it->first < end; ++it) {
        const auto from = std::max(begin, it->first);
        const auto to = std::min(end, it->second);
        if (from < to) out.push_back({from, to});
    }
    return out;
}

std::uint64_t RangeSet::bytes() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& [begin, end] : ranges_) sum += end - begin;
    return sum;
}

}  // namespace uidnfs::test
