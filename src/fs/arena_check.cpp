// SPDX-License-Identifier: Apache-2.0
#include "fs/arena_check.hpp"

#include "fs/types.hpp"
#include "nfs/types.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace uidnfs::fs {
namespace {

using mapper::kNoId;

constexpr std::uint64_t kLastOffset = std::numeric_limits<std::int64_t>::max();
/// Numbers that count up: far from where adding one would begin anew.
constexpr std::uint64_t kLastNumber = ~std::uint64_t{0} >> 1;

/// One region, read without believing anything.
template <class T>
class Cells {
public:
    Cells(const core::Arena& arena, std::uint32_t id) : region_(arena.region(id)) {}

    std::uint64_t size() const noexcept { return *region_.high_water; }
    bool fits() const noexcept { return size() <= region_.capacity; }
    std::uint32_t commit(std::uint64_t index) const noexcept { return read(index).commit; }
    T record(std::uint64_t index) const noexcept { return read(index).record; }

    /// `visit` gets index and record of those that are valid, and says what is wrong with it;
    /// `wrong` hears of that. The records with which nothing is.
    template <class F, class W>
    std::vector<bool> for_each(std::string_view what, F&& visit, W&& wrong) const {
        if (!fits()) {
            wrong(fmt::format("more of {} than there is room for", what));
            return {};
        }
        std::vector<bool> sound(size());
        for (std::uint64_t i = 0; i < size(); ++i) {
            const auto found = read(i);
            if (found.commit == core::Table<T>::kFree) continue;
            if (found.commit != core::Table<T>::kValid) {
                wrong(fmt::format("{} {} is neither free nor valid", what, i));
            } else if (auto is_wrong = visit(i, found.record)) {
                wrong(std::move(*is_wrong));
            } else {
                sound[i] = true;
            }
        }
        return sound;
    }

private:
    using Cell = typename core::Table<T>::Cell;

    Cell read(std::uint64_t index) const noexcept {
        Cell cell;
        std::memcpy(&cell, region_.base + index * region_.stride, sizeof cell);
        return cell;
    }

    core::Region region_;
};

using Wrong = std::optional<std::string>;

class Check {
public:
    Check(const core::Arena& arena, mapper::RootIdentity root) : arena_(arena), root_(root) {}

    Survey run() {
        // What later ones speak of comes first.
        counters();
        credentials();
        inodes();
        opens();
        streams();
        silly_names();
        written();
        extents();
        shared_bytes();
        return std::move(found_);
    }

private:
    void note(std::string wrong) {
        if (found_.damage) {
            ++found_.more;
        } else {
            found_.damage = std::move(wrong);
        }
    }

    template <class T, class F>
    std::vector<bool> check(RegionId id, std::string_view what, F&& visit) {
        const Cells<T> cells(arena_, id);
        return cells.for_each(what, visit, [this](std::string wrong) { note(std::move(wrong)); });
    }

    void counters() {
        const Cells<CounterRecord> cells(arena_, kCounterRegion);
        // A worker that died before it had any.
        if (!cells.fits() || cells.size() == 0) return empty();
        if (cells.commit(0) == CounterRecords::kFree) return empty();
        const auto record = cells.record(0);
        const bool counts = record.next_inode > 1 && record.next_inode < kLastNumber &&
                            record.next_open > 0 && record.next_open < kLastNumber;
        if (cells.commit(0) != CounterRecords::kValid || !counts) {
            return note("the counters are out of range");
        }
        next_inode_ = record.next_inode;
        next_open_ = record.next_open;
    }

    void empty() {
        std::uint64_t used = 0;
        for (const auto id :
             {kInodeRegion,
              kOpenRegion,
              kCursorRegion,
              kSillyRegion,
              kExtentRegion,
              kCounterRegion,
              kCredentialRegion,
              kWrittenRegion,
              kCookieRegion}) {
            const auto region = arena_.region(id);
            if (id != kCounterRegion) used += *region.high_water > 0;
        }
        if (used > 0) note("there are records and no counters");
    }

    void credentials() {
        const auto visit = [&](std::uint64_t i, const CredentialRecord& record) {
            if (record.group_count > record.groups.size()) {
                return Wrong(fmt::format("identity {} has {} groups", i, record.group_count));
            }
            bool is_real = record.uid != kNoId && record.gid != kNoId;
            for (std::uint32_t g = 0; g < record.group_count; ++g) {
                is_real = is_real && record.groups[g] != kNoId;
            }
            if (!is_real) return Wrong(fmt::format("identity {} is nobody's", i));
            if (record.uid == 0 && root_ == mapper::RootIdentity::refused) {
                return Wrong(fmt::format("identity {} is root, which this mount refuses", i));
            }
            credentials_.insert(static_cast<std::uint32_t>(i) + 1);
            return Wrong();
        };
        found_.sound.credentials = check<CredentialRecord>(kCredentialRegion, "identity", visit);
    }

    bool knows(std::uint32_t credential) const {
        return credential == kMountsOwn || credentials_.contains(credential);
    }

    void inodes() {
        std::unordered_set<std::uint64_t> twice;
        const auto visit = [&](std::uint64_t, const InodeRecord& record) {
            const auto wrong = [&](std::string_view what) {
                return Wrong(fmt::format("inode {} {}", record.id, what));
            };
            if (record.id < kRootId || record.id >= next_inode_)
                return wrong("was never given out");
            if (record.type < 1 || record.type > 7) return wrong("has no type");
            if (record.handle_size == 0 || record.handle_size > record.handle.size()) {
                return wrong("has no file handle");
            }
            if (record.lookups > kLastNumber) return wrong("has too many references");
            if (!inodes_.emplace(record.id, static_cast<nfs::FileType>(record.type)).second) {
                twice.insert(record.id);
                return wrong("is there twice");
            }
            return Wrong();
        };
        auto sound = check<InodeRecord>(kInodeRegion, "inode", visit);
        // Which of the two it is nobody knows.
        const Cells<InodeRecord> cells(arena_, kInodeRegion);
        for (std::size_t i = 0; !twice.empty() && i < sound.size(); ++i) {
            sound[i] = sound[i] && !twice.contains(cells.record(i).id);
        }
        for (const auto id : twice) inodes_.erase(id);
        found_.sound.inodes = std::move(sound);
    }

    bool is(std::uint64_t inode, nfs::FileType type) const {
        const auto found = inodes_.find(inode);
        return found != inodes_.end() && found->second == type;
    }

    void opens() {
        check<OpenRecord>(kOpenRegion, "open", [&](std::uint64_t, const OpenRecord& record) {
            const auto wrong = [&](std::string_view what) {
                return Wrong(fmt::format("open {} {}", record.id, what));
            };
            if (record.id == 0 || record.id >= next_open_) return wrong("was never given out");
            if (!opens_.insert(record.id).second) return wrong("is there twice");
            const bool is_file = record.kind == OpenKind::file;
            if (!is_file && record.kind != OpenKind::directory) return wrong("is of no kind");
            if (!inodes_.contains(record.inode)) return wrong("is of an inode that is not there");
            if (is_file == is(record.inode, nfs::FileType::directory)) {
                return wrong("is of another kind than its inode");
            }
            if (!knows(record.credential)) return wrong("is nobody's");
            const auto owed = record.owed & ~kGoing;
            const bool is_right = owed == 0 || (owed & ~07777u) == kOwed;
            if (!is_right || (record.owed != 0 && !is_file)) {
                return wrong("owes no mode");
            }
            return Wrong();
        });
    }

    void streams() {
        // Without their open they are left over, and harmless.
        check<CursorRecord>(kCursorRegion, "cursor", [](std::uint64_t, const CursorRecord&) {
            return Wrong();
        });
        check<CookieRecord>(kCookieRegion, "cookie", [](std::uint64_t, const CookieRecord&) {
            return Wrong();
        });
    }

    void silly_names() {
        const auto visit = [&](std::uint64_t i, const SillyRecord& record) {
            const auto wrong = [&](std::string_view what) {
                return Wrong(fmt::format("removed file {} {}", i, what));
            };
            const std::string_view field(record.name.data(), record.name.size());
            const auto name = field.substr(0, field.find('\0'));
            if (name.size() == field.size() || !name.starts_with(".nfs")) {
                return wrong("has no name");
            }
            if (name.find('/') != name.npos) return wrong("has a path for a name");
            if (!inodes_.contains(record.inode)) return wrong("is not there");
            if (!is(record.parent, nfs::FileType::directory)) return wrong("is in no directory");
            if (!knows(record.credential)) return wrong("was removed by nobody");
            return Wrong();
        };
        check<SillyRecord>(kSillyRegion, "removed file", visit);
    }

    void written() {
        const auto visit = [&](std::uint64_t i, const WrittenRecord& record) {
            if (record.path.back() != '\0') {
                return Wrong(fmt::format("written file {} has a path without an end", i));
            }
            if (!is(record.inode, nfs::FileType::regular)) {
                return Wrong(fmt::format("written file {} is no file", i));
            }
            return Wrong();
        };
        found_.sound.written = check<WrittenRecord>(kWrittenRegion, "written file", visit);
    }

    void extents() {
        const auto slots = arena_.region(kSlotRegion);
        if (*slots.high_water > slots.capacity) return note("more slots than there is room for");
        const auto visit = [&](std::uint64_t i, const ExtentRecord& record) {
            const auto wrong = [&](std::string_view what) {
                return Wrong(fmt::format("extent {} {}", i, what));
            };
            if (!is(record.inode, nfs::FileType::regular)) return wrong("is of no file");
            if (record.order == 0 || record.order > kLastNumber) return wrong("has no order");
            if (!knows(record.credential)) return wrong("is nobody's");
            if (record.state == ExtentState::cut) {
                return record.length == 0 ? Wrong() : wrong("is a cut with bytes");
            }
            if (record.state < ExtentState::dirty || record.state > ExtentState::uncommitted) {
                return wrong("has no state");
            }
            if (record.length == 0 || record.length > slots.stride) return wrong("has no bytes");
            if (record.offset > kLastOffset || record.length > kLastOffset - record.offset) {
                return wrong("is beyond every file");
            }
            const auto slot = record.data / slots.stride;
            const auto begin = record.data % slots.stride;
            if (slot >= *slots.high_water || begin + record.length > slots.stride) {
                return wrong("lies outside of its memory");
            }
            bytes_.push_back({record.data, record.data + record.length, record.inode, i});
            return Wrong();
        };
        found_.sound.extents = check<ExtentRecord>(kExtentRegion, "extent", visit);
    }

    /// Two extents of one file may show the same bytes for a moment, of two files never.
    void shared_bytes() {
        std::sort(bytes_.begin(), bytes_.end(), [](const Bytes& a, const Bytes& b) {
            return a.begin < b.begin;
        });
        for (auto first = bytes_.begin(); first != bytes_.end();) {
            auto end = first->end;
            auto other = bytes_.end();
            auto next = std::next(first);
            for (; next != bytes_.end() && next->begin < end; ++next) {
                end = std::max(end, next->end);
                if (next->inode != first->inode && other == bytes_.end()) other = next;
            }
            if (other != bytes_.end()) {
                note(fmt::format("inodes {} and {} have the same bytes", first->inode, other->inode)
                );
                // Whose they are nobody knows.
                for (; first != next; ++first) found_.sound.extents[first->extent] = false;
            }
            first = next;
        }
    }

    struct Bytes {
        std::uint64_t begin;
        std::uint64_t end;
        std::uint64_t inode;
        std::uint64_t extent;  ///< index of its record
    };

    const core::Arena& arena_;
    mapper::RootIdentity root_;
    Survey found_;
    std::uint64_t next_inode_ = kLastNumber;
    std::uint64_t next_open_ = kLastNumber;
    std::unordered_set<std::uint32_t> credentials_;
    std::unordered_map<std::uint64_t, nfs::FileType> inodes_;
    std::unordered_set<std::uint64_t> opens_;
    std::vector<Bytes> bytes_;
};

}  // namespace

std::optional<std::string> find_damage(const core::Arena& arena, mapper::RootIdentity root) {
    return Check(arena, root).run().damage;
}

Survey survey(const core::Arena& arena, mapper::RootIdentity root) {
    return Check(arena, root).run();
}

std::string explain_refusal(const core::Error& error) {
    switch (error.code()) {
        case EPROTONOSUPPORT:
        case EINVAL:
            return fmt::format(
                "the state of the mount was written by another version of uidnfs (this one reads "
                "layout {}); start the version that wrote it",
                core::Arena::kVersion
            );
        case EPROTO: return "the state of the mount is damaged; unmount it and mount it again";
        default: return fmt::format("its memory cannot be mapped ({})", core::to_string(error));
    }
}

}  // namespace uidnfs::fs
