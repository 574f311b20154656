// SPDX-License-Identifier: Apache-2.0
#include "app/mount_memory.hpp"

#include "fs/filesystem.hpp"
#include "fuse/in_flight.hpp"

#include <algorithm>

namespace uidnfs::app {

std::vector<core::RegionSpec> mount_regions() {
    const auto of_files = fs::Filesystem::arena_regions();
    const auto of_session = fuse::SessionMemory::arena_regions();
    std::vector<core::RegionSpec> regions(of_files.begin(), of_files.end());
    regions.insert(regions.end(), of_session.begin(), of_session.end());
    // Two at a time: the new one is there before the old one goes.
    regions.push_back(ClientMemory::Records::spec(ClientMemory::kRegion, 8));
    return regions;
}

ClientMemory::Records::Index ClientMemory::newest() const {
    auto found = Records::kNone;
    for (Records::Index i = 0; i < records_.high_water(); ++i) {
        if (!records_.is_valid(i)) continue;
        if (found == Records::kNone || records_[i].version > records_[found].version) found = i;
    }
    return found;
}

std::vector<std::byte> ClientMemory::load() const {
    const auto index = newest();
    if (index == Records::kNone) return {};
    const auto& record = records_[index];
    const auto size = std::min<std::size_t>(record.size, kMaxBytes);
    return {record.bytes.begin(), record.bytes.begin() + static_cast<std::ptrdiff_t>(size)};
}

void ClientMemory::save(std::span<const std::byte> state) {
    const auto before = load();
    if (state.size() > kMaxBytes || std::ranges::equal(before, state)) return;
    const auto old = newest();
    // One of an earlier save that was not finished.
    for (Records::Index i = 0; i < records_.high_water(); ++i) {
        if (i != old && records_.is_valid(i)) records_.erase(i);
    }
    Record record{old == Records::kNone ? 1 : records_[old].version + 1, state.size(), {}};
    std::copy(state.begin(), state.end(), record.bytes.begin());
    if (records_.insert(record) != Records::kNone && old != Records::kNone) records_.erase(old);
}

}  // namespace uidnfs::app
