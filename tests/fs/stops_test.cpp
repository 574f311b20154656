// SPDX-License-Identifier: Apache-2.0
// A worker that is killed after any of its stores into the arena: the next one finds the bytes as
// they were before what it was doing, or as they were to be after it.
#include "fs/arena_check.hpp"
#include "fs/extent_map.hpp"
#include "fs/fixture.hpp"
#include "fs/salvage.hpp"
#include "fs/store_trace.hpp"
#include "fs/write_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <random>

namespace uidnfs::test {
namespace {

using namespace fs;

constexpr std::uint64_t kInode = 2;
constexpr std::uint32_t kSlot = 16384;
constexpr std::uint64_t kFileBytes = 4000;

/// Like kRegions, small, and the slots last: what lies before them is traced.
constexpr std::array<core::RegionSpec, 10> kSmall{
    InodeRecords::spec(kInodeRegion, 4),
    OpenRecords::spec(kOpenRegion, 4),
    CursorRecords::spec(kCursorRegion, 4),
    SillyRecords::spec(kSillyRegion, 4),
    ExtentRecords::spec(kExtentRegion, 400),
    CounterRecords::spec(kCounterRegion, 1),
    CredentialRecords::spec(kCredentialRegion, 4),
    WrittenRecords::spec(kWrittenRegion, 4),
    CookieRecords::spec(kCookieRegion, 4),
    core::SlotPool::spec(kSlotRegion, kSlot, 16),
};

using Byte = std::optional<char>;  // nothing: not held
using Bytes = std::vector<Byte>;

/// The extents of one file in an arena, as a worker has them.
class Extents {
public:
    explicit Extents(core::Arena& arena)
        : slots_(arena, arena.region(kSlotRegion)),
          records_(arena.region(kExtentRegion)),
          log_(slots_),
          map_(ExtentJournal{records_, arena.region(kSlotRegion).base}, kInode) {}

    ExtentMap& map() { return map_; }
    WriteLog& log() { return log_; }
    std::uint64_t records() const { return records_.size(); }

    /// As Filesystem::restore_extents() does.
    void restore(const core::Arena& arena) {
        std::vector<ExtentRecords::Index> found;
        for (ExtentRecords::Index i = 0; i < records_.high_water(); ++i) {
            if (records_.is_valid(i)) found.push_back(i);
        }
        std::sort(found.begin(), found.end(), [&](auto a, auto b) {
            return std::pair(records_[a].order, records_[a].offset) <
                   std::pair(records_[b].order, records_[b].offset);
        });
        for (const auto i : found) {
            if (records_[i].state == ExtentState::cut) {
                map_.restore_cut(i);
                continue;
            }
            auto* slot = slots_.adopt(static_cast<std::uint32_t>(records_[i].data / kSlot));
            const auto* data = arena.region(kSlotRegion).base + records_[i].data;
            map_.restore(i, core::Slice(*slot, data, records_[i].length), 0, {});
        }
    }

    Bytes held() const {
        Bytes bytes(kFileBytes);
        for (const auto& piece : map_.within(0, kFileBytes)) {
            for (std::size_t i = 0; i < piece.data.size(); ++i) {
                bytes[piece.offset + i] = static_cast<char>(piece.data.data()[i]);
            }
        }
        return bytes;
    }

private:
    core::SlotPool slots_;
    ExtentRecords records_;
    WriteLog log_;
    ExtentMap map_;
};

Bytes over(const std::string& below, const Bytes& held) {
    Bytes bytes = held;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (!bytes[i] && i < below.size()) bytes[i] = below[i];
    }
    return bytes;
}

class Stops : public testing::Test {
protected:
    Stops() {
        if (!StoreTrace::kSupported) return;
        CounterRecords(arena.region(kCounterRegion)).insert({kInode + 1, 1});
        InodeRecord file{kInode, 7, 1, 0, 1, 4, {}};
        InodeRecords(arena.region(kInodeRegion)).insert(file);
        extents.emplace(arena);
    }
    void SetUp() override {
        if (!StoreTrace::kSupported) GTEST_SKIP() << "stores cannot be traced here";
    }

    static std::span<std::byte> records_of(const core::Arena& of) {
        auto* base = of.region(kInodeRegion).base - of.region(kInodeRegion).offset;
        return {base, of.region(kSlotRegion).offset};
    }

    /// Does it, with a copy of all records after each store.
    template <class F>
    void traced(const core::Arena& of, std::vector<std::vector<std::byte>>& stops, F&& what) {
        const auto memory = records_of(of);
        stops.clear();
        const auto keep = [&] { stops.emplace_back(memory.begin(), memory.end()); };
        keep();
        const StoreTrace trace({memory}, keep);
        what();
    }

    /// What a next worker finds in `records`, and that it finds it again if it dies meanwhile.
    enum class Again { no, yes };
    Bytes recovered(const std::vector<std::byte>& records, Again again) {
        const auto slots = arena.region(kSlotRegion);
        const auto copy = next.region(kSlotRegion);
        std::memcpy(copy.base, slots.base, slots.capacity * slots.stride);
        const auto memory = records_of(next);
        std::memcpy(memory.data(), records.data(), records.size());
        if (const auto damage = find_damage(next, mapper::RootIdentity::refused)) {
            ADD_FAILURE() << *damage;
            return {};
        }
        // Whoever saves the bytes finds the same as whoever sends them.
        const auto saved = saved_from(next);
        Extents found(next);
        std::vector<std::vector<std::byte>> stops;
        if (again == Again::yes) {
            traced(next, stops, [&] { found.restore(next); });
        } else {
            found.restore(next);
        }
        const auto held = found.held();
        EXPECT_EQ(saved, held);
        for (const auto& stop : stops) {
            std::memcpy(memory.data(), stop.data(), stop.size());
            EXPECT_EQ(find_damage(next, mapper::RootIdentity::refused), std::nullopt);
            Extents last(next);
            last.restore(next);
            EXPECT_EQ(last.held(), held) << "the worker after next";
            forget(last);
        }
        return held;
    }
    static Bytes saved_from(const core::Arena& of) {
        Bytes bytes(kFileBytes);
        const auto found = survey(of, mapper::RootIdentity::refused);
        for (const auto& file : unwritten_files(of, found.sound)) {
            for (const auto& range : file.ranges) {
                for (std::size_t i = 0; i < range.bytes.size(); ++i) {
                    bytes[range.offset + i] = static_cast<char>(range.bytes[i]);
                }
            }
        }
        return bytes;
    }
    /// Its destructor would take records away that another one has by now.
    static void forget(Extents& extents) { extents.map().truncate(0, extents.map().mark()); }

    core::Arena arena = *core::Arena::create(kSmall);
    core::Arena next = *core::Arena::create(kSmall);
    std::optional<Extents> extents;
};

/// One life of a file: writes, WRITEs, COMMITs, cuts, at random; `disk` is what the server keeps
/// for ever, `memory` what it shows.
class RandomLife : public Stops {
protected:
    void step() {
        auto& map = extents->map();
        stops.clear();
        const auto before = extents->held();
        const auto what = random() % 10;
        if (what < 5) {
            write();
        } else if (what < 7) {
            if (batch) {
                answer();
            } else {
                traced(arena, stops, [&] { batch = map.next_batch(300, ExtentMap::Send::all); });
            }
        } else if (what < 9 && !batch) {
            commit();
        } else if (what == 9) {
            return cut(before);
        }
        const auto after = extents->held();
        for (std::size_t i = 0; i < stops.size(); ++i) {
            const auto again = i % 5 == 0 ? Again::yes : Again::no;
            const auto held = recovered(stops[i], again);
            for (const auto& below : {disk, memory}) {
                const auto shown = over(below, held);
                ASSERT_TRUE(shown == over(below, before) || shown == over(below, after))
                    << "stop " << i << " of " << stops.size() << " in step kind " << what;
            }
        }
        seen += stops.size();
    }

private:
    void write() {
        const auto offset = random() % (kFileBytes - 500);
        const std::string text(1 + random() % 400, static_cast<char>('a' + random() % 26));
        const auto bytes = std::as_bytes(std::span(text));
        core::BufferPool pool(512, 1);
        auto& block = pool.take();
        std::memcpy(block.data(), bytes.data(), bytes.size());
        const core::Slice given(block, block.data(), bytes.size());
        // Taking a slot is a store of its own.
        traced(arena, stops, [&] {
            if (auto data = extents->log().copy(given)) {
                extents->map().insert(offset, std::move(*data), {}, {});
            }
        });
    }

    void answer() {
        const auto count = random() % 3 ? batch->length : 1 + random() % batch->length;
        std::string text;
        for (const auto& slice : batch->slices) {
            text.append(reinterpret_cast<const char*>(slice.data()), slice.size());
        }
        text.resize(count);
        const auto kept = random() % 2 ? ExtentMap::Kept::disk : ExtentMap::Kept::volatile_memory;
        put(memory, batch->offset, text);
        if (kept == ExtentMap::Kept::disk) put(disk, batch->offset, text);
        traced(arena, stops, [&] {
            extents->map().sent(*batch, static_cast<std::uint32_t>(count), kept, verifier, {});
        });
        batch.reset();
    }

    void commit() {
        auto& map = extents->map();
        map.begin_commit();
        if (random() % 3 == 0) {
            memory = disk;  // it was started again
            verifier[0] = static_cast<std::byte>(static_cast<unsigned>(verifier[0]) + 1);
        } else {
            disk = memory;
        }
        traced(arena, stops, [&] { map.committed(verifier, {}); });
    }

    void cut(const Bytes& before) {
        if (batch) return;
        const auto size = random() % kFileBytes;
        disk.resize(std::min(disk.size(), size));
        memory.resize(std::min(memory.size(), size));
        traced(arena, stops, [&] { extents->map().truncate(size, extents->map().mark()); });
        const auto after = extents->held();
        for (std::size_t i = 0; i < stops.size(); ++i) {
            const auto held = recovered(stops[i], i % 5 == 0 ? Again::yes : Again::no);
            ASSERT_TRUE(held == before || held == after) << "stop " << i << " of a cut";
        }
        seen += stops.size();
    }

    static void put(std::string& file, std::uint64_t offset, const std::string& text) {
        if (file.size() < offset + text.size()) file.resize(offset + text.size());
        file.replace(offset, text.size(), text);
    }

protected:
    std::mt19937_64 random{1};
    std::vector<std::vector<std::byte>> stops;
    std::size_t seen = 0;

private:
    std::string disk;
    std::string memory;
    nfs::Verifier verifier{};
    std::optional<ExtentMap::Batch> batch;
};

TEST_F(RandomLife, leaves_old_or_new_bytes_at_every_store) {
    for (int i = 0; i < 200 && !HasFatalFailure() && !HasNonfatalFailure(); ++i) step();
    EXPECT_GT(seen, 500u);
}

}  // namespace
}  // namespace uidnfs::test
