// SPDX-License-Identifier: Apache-2.0
// The memory that a new worker shares with one that died: whatever is in it, it is refused, or all
// that is taken from it lies within it. Input: changes to a sound arena, each five bytes (where: a
// region or the header, record, offset in it, how many bytes) and the bytes.
// With it the requests that lie in it, as the session takes them.
#include "fs/arena_check.hpp"
#include "fs/extent_map.hpp"
#include "fs/salvage.hpp"
#include "fuse/in_flight.hpp"
#include "fuse/raw_request.hpp"
#include "fuzz/fuzz.hpp"

#include <fcntl.h>
#include <linux/fuse.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace {

using namespace uidnfs;
using namespace uidnfs::fs;

constexpr std::array<core::RegionSpec, 10> kSmall{
    InodeRecords::spec(kInodeRegion, 8),
    OpenRecords::spec(kOpenRegion, 8),
    CursorRecords::spec(kCursorRegion, 8),
    SillyRecords::spec(kSillyRegion, 8),
    ExtentRecords::spec(kExtentRegion, 64),
    CounterRecords::spec(kCounterRegion, 1),
    CredentialRecords::spec(kCredentialRegion, 8),
    WrittenRecords::spec(kWrittenRegion, 8),
    CookieRecords::spec(kCookieRegion, 8),
    core::SlotPool::spec(kSlotRegion, 8192, 8),
};

constexpr std::uint32_t kHeaders = kSmall.size();  ///< behind the regions of kSmall

std::vector<core::RegionSpec> all_regions() {
    std::vector<core::RegionSpec> regions(kSmall.begin(), kSmall.end());
    const auto of_session = fuse::SessionMemory::arena_regions();
    regions.insert(regions.end(), of_session.begin(), of_session.end());
    return regions;
}

template <class Table, class Record>
void put(const core::Arena& arena, RegionId id, std::initializer_list<Record> records) {
    Table table(arena.region(id));
    for (const auto& record : records) table.insert(record);
}

void fill(const core::Arena& arena) {
    put<CounterRecords, CounterRecord>(arena, kCounterRegion, {{10, 10}});
    put<CredentialRecords, CredentialRecord>(
        arena, kCredentialRegion, {{1001, 1001, 2, 0, {5, 6}}, {1002, 1002, 0, 0, {}}}
    );
    put<InodeRecords, InodeRecord>(
        arena,
        kInodeRegion,
        {{1, 100, 1, 0, 2, 8, {}}, {2, 101, 1, 0, 1, 8, {}}, {3, 102, 1, 0, 1, 8, {}}}
    );
    put<OpenRecords, OpenRecord>(
        arena,
        kOpenRegion,
        {{1, 2, 0, OpenKind::file, 2, 1, 0}, {2, 1, 0, OpenKind::directory, 0, 0, 0}}
    );
    put<CursorRecords, CursorRecord>(arena, kCursorRegion, {{2, 77}});
    put<CookieRecords, CookieRecord>(arena, kCookieRegion, {{2, 0, ~0ull}});
    put<SillyRecords, SillyRecord>(arena, kSillyRegion, {{2, 1, 1, 0, {'.', 'n', 'f', 's', '1'}}});
    put<WrittenRecords, WrittenRecord>(arena, kWrittenRegion, {{2, 1, {'a'}}, {3, 1, {'b'}}});
    put<ExtentRecords, ExtentRecord>(
        arena,
        kExtentRegion,
        {{2, 0, 1000, 0, 1, ExtentState::dirty, 1},
         {2, 500, 1000, 1000, 2, ExtentState::sending, 2},
         {3, 4096, 96, 8192, 1, ExtentState::uncommitted, 0},
         {2, 1400, 0, 0, 3, ExtentState::cut, 0}}
    );
    *arena.region(kSlotRegion).high_water = 2;
}

/// Two requests with records, and one that was just read.
void fill_session(const core::Arena& arena) {
    core::SlotPool slots(arena, arena.region(kSlotRegion));
    // Not those of the extents.
    slots.adopt(0);
    slots.adopt(1);
    fuse::SessionMemory memory(arena);
    const auto add = [&](std::uint64_t unique, std::uint32_t opcode, std::string_view body) {
        auto* const slot = slots.take();
        fuse_in_header header{};
        header.len = static_cast<std::uint32_t>(sizeof header + body.size());
        header.opcode = opcode;
        header.unique = unique;
        if (unique == 6) memory.read_mark().set(*slot);
        std::memcpy(slot->data(), &header, sizeof header);
        std::memcpy(slot->data() + sizeof header, body.data(), body.size());
        if (unique != 6) memory.in_flight().begin(unique, opcode, slot);
    };
    using namespace std::string_view_literals;
    add(2, FUSE_UNLINK, "name\0"sv);
    add(4, FUSE_RENAME, "\1\0\0\0\0\0\0\0from\0to\0"sv);
    add(6, FUSE_SYMLINK, "name\0target\0"sv);
}

void change(const core::Arena& arena, const std::uint8_t* data, std::size_t size) {
    // As they were before the header was changed.
    std::vector<core::Region> regions;
    for (const auto& spec : all_regions()) regions.push_back(arena.region(spec.id));
    regions.insert(regions.begin() + kHeaders, core::Region{});
    auto* const base = regions[0].base - regions[0].offset;
    while (size >= 5) {
        const auto where = data[0] % regions.size();
        const auto count = std::min<std::size_t>(data[4] % 64, size - 5);
        std::byte* target = base + data[1] + 256u * data[2];  // of the header
        std::byte* end = base + 4096;
        if (where != kHeaders) {
            const auto& region = regions[where];
            const auto index = data[1] % region.capacity;
            target = region.base + index * region.stride + data[2] + 256u * data[3];
            end = region.base + region.capacity * region.stride;
        }
        if (target + count <= end) std::memcpy(target, data + 5, count);
        data += 5 + count;
        size -= 5 + count;
    }
}

/// Or the compiler would leave the reading out.
void require_read(unsigned sum) { fuzz::require(sum != ~0u, "there are not that many bytes"); }

/// As Filesystem::restore_extents() does; the bytes of all of them are read.
void restore(const core::Arena& arena) {
    core::SlotPool slots(arena, arena.region(kSlotRegion));
    ExtentRecords records(arena.region(kExtentRegion));
    std::vector<ExtentRecords::Index> found;
    for (ExtentRecords::Index i = 0; i < records.high_water(); ++i) {
        if (records.is_valid(i)) found.push_back(i);
    }
    std::sort(found.begin(), found.end(), [&](auto a, auto b) {
        return records[a].order < records[b].order;
    });
    const auto memory = arena.region(kSlotRegion);
    std::map<std::uint64_t, std::unique_ptr<ExtentMap>> files;
    for (const auto i : found) {
        const auto record = records[i];
        auto& file = files[record.inode];
        if (!file) {
            file = std::make_unique<ExtentMap>(ExtentJournal{records, memory.base}, record.inode);
        }
        if (record.state == ExtentState::cut) {
            file->restore_cut(i);
            continue;
        }
        auto* slot = slots.adopt(static_cast<std::uint32_t>(record.data / slots.bytes()));
        fuzz::require(slot != nullptr, "the slot of an extent is there");
        file->restore(i, core::Slice(*slot, memory.base + record.data, record.length), 0, {});
    }
    unsigned sum = 0;
    for (const auto& [inode, file] : files) {
        for (const auto& piece : file->within(0, ~std::uint64_t{0} >> 1)) {
            for (const auto byte : piece.data.bytes()) sum += std::to_integer<unsigned>(byte);
            const auto* begin = piece.data.data();
            const auto* end = memory.base + memory.capacity * memory.stride;
            fuzz::require(
                begin >= memory.base && begin + piece.data.size() <= end, "bytes are inside"
            );
        }
    }
    require_read(sum);
}

/// As the session does, which lets libfuse read the names.
/// `sound`: nothing was changed.
void take_requests(const core::Arena& arena, bool sound) {
    core::SlotPool slots(arena, arena.region(kSlotRegion));
    fuse::SessionMemory memory(arena);
    memory.init();
    const auto found = memory.adopt(slots);
    fuzz::require(!sound || (found && found->size() == 3), "all requests are found");
    if (!found) return;
    const auto region = arena.region(kSlotRegion);
    const auto* const end = region.base + region.capacity * region.stride;
    unsigned sum = 0;
    for (const auto& request : *found) {
        const auto* const bytes = request.bytes.data();
        fuzz::require(bytes >= region.base, "a request begins in a slot");
        fuzz::require(
            request.bytes.size() <= region.stride && bytes + request.bytes.size() <= end,
            "a request ends in its slot"
        );
        if (fuse::is_whole(request.bytes)) {
            for (const auto byte : request.bytes) sum += std::to_integer<unsigned>(byte);
        }
        const auto record = memory.in_flight().resume(
            request.unique, fuse::InFlight::Death::killed
        );
        fuzz::require(record != fuse::InFlight::kNone, "each has a record");
        memory.in_flight().end(record);
    }
    memory.in_flight().settle();
    fuzz::require(memory.in_flight().size() == 0, "nothing is left");
    require_read(sum);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto arena = core::Arena::create(all_regions());
    fuzz::require(arena.has_value(), "there is memory");
    fill(*arena);
    fill_session(*arena);
    change(*arena, data, size);
    const auto next =
        core::Arena::attach(core::Fd(::fcntl(arena->fd(), F_DUPFD_CLOEXEC, 0)), all_regions());
    if (!next) {
        fuzz::require(size > 0, "a sound arena is taken");
        fuzz::require(fuzz::is_one_printable_line(explain_refusal(next.error())), "text");
        return 0;
    }
    const auto found = survey(*next, mapper::RootIdentity::refused);
    unsigned sum = 0;
    const auto credentials = recorded_credentials(*next, found.sound);
    for (const auto& file : unwritten_files(*next, found.sound)) {
        fuzz::require(!file.handle.empty(), "a file has a handle");
        for (const auto& range : file.ranges) {
            for (const auto byte : range.bytes) sum += std::to_integer<unsigned>(byte);
            fuzz::require(range.credential <= credentials.size(), "somebody wrote it");
        }
    }
    require_read(sum);
    fuzz::require(
        found.damage == find_damage(*next, mapper::RootIdentity::refused),
        "one says what the other says"
    );
    if (found.damage) {
        fuzz::require(size > 0, "a sound arena has no damage");
        fuzz::require(fuzz::is_one_printable_line(*found.damage), "text");
        return 0;
    }
    restore(*next);
    take_requests(*next, size == 0);
    return 0;
}
