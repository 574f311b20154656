// SPDX-License-Identifier: Apache-2.0
// KnownNames: what listings and our own calls told about the names of one directory, so that the
// server need not be asked for each of them. Shared by the directory's Inode, which lets go of it
// when somebody else changes the directory, and by the listings that fill it. Decides, does no I/O;
// reactor's thread only.
#pragma once

#include "core/clock.hpp"
#include "fs/attr_cache.hpp"
#include "nfs/types.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace uidnfs::fs {

/// How many names all directories of a mount know together; some 400 bytes each.
struct NamesBudget {
    static constexpr std::size_t kMost = 16384;
    std::size_t used = 0;
    bool is_used_up() const noexcept { return used >= kMost; }
};

class KnownNames {
public:
    explicit KnownNames(std::shared_ptr<NamesBudget> budget) noexcept
        : budget_(std::move(budget)) {}
    KnownNames(const KnownNames&) = delete;
    KnownNames& operator=(const KnownNames&) = delete;
    ~KnownNames() { budget_->used -= names_.size(); }

    /// What begins where somebody else changed the directory and this is let go of; nullptr: one
    /// that is as any other. Where pages fetched ahead brought too few answers until such a change
    /// came, the next walk must be longer, for each change would cost pages else.
    std::shared_ptr<KnownNames> after_change() const;

    /// A file as a listing had it.
    struct Listed {
        nfs::FileHandle handle;
        nfs::Attr attr;
        Asked asked;
    };
    struct Found {
        enum class Answer : std::uint8_t {
            ask_server,
            named,   ///< it is there, and that is all
            absent,  ///< as of the last time that the directory's attributes were the same
            listed,
        } answer = Answer::ask_server;
        const Listed* listed = nullptr;  ///< until the next change of this object
    };
    Found find(const std::string& name) const;

    /// Our own MKDIR made the directory just now: there is nothing in it.
    void begin_empty() noexcept { extent_ = listed_ = Extent::all; }
    bool is_complete() const noexcept { return extent_ == Extent::all; }
    std::size_t size() const noexcept { return names_.size(); }

    /// A call of ours changed the directory, and the server did not say whether somebody else had
    /// changed it since `confirmed`.
    void doubt(core::SteadyTime confirmed) noexcept {
        if (!doubted_) doubted_ = confirmed;
    }
    /// When the server last said that all this is so; `unchanged_at`: that the directory is as it
    /// was after our own last change of it.
    core::SteadyTime confirmed(core::SteadyTime unchanged_at) const noexcept {
        return doubted_.value_or(unchanged_at);
    }
    bool is_doubted() const noexcept { return doubted_.has_value(); }

    /// Our own calls: the name is gone; or only the server knows what is under it now; or it is
    /// this file, as known from elsewhere.
    void removed(const std::string& name);
    void changed(const std::string& name);
    void seen(const std::string& name, const nfs::FileHandle& handle);

    /// Brackets each call that brings a page. What our own calls did to a name meanwhile wins over
    /// the page.
    using Load = std::uint64_t;
    Load begin_load();
    void end_load();
    /// A call of ours changed what the name stands for since the load began.
    bool was_touched(const std::string& name, Load load) const;
    /// Takes a page that began after `from_cookie`. Pages in their order make the names complete.
    void add(std::uint64_t from_cookie, const nfs::DirPage& page, Load load, const Asked& asked);
    /// Where the page begins that is wanted next, with handles.
    const nfs::DirCursor& next() const noexcept { return next_; }

    /// The server was asked for a name, and by its answer lets us search the directory.
    void missed(std::string_view name) noexcept {
        const auto which = std::hash<std::string_view>{}(name);
        if (which != last_missed_) ++misses_;
        last_missed_ = which;
        search_ = Search::permitted;
    }
    /// The server was asked for the attributes of a file of this name, because they were too old.
    /// Whoever does that for one file after the other needs listings too.
    void found_stale(std::string_view name);
    /// Until the next page one name that is missed, or found too old, counts as a walk.
    void expect_walk() noexcept { walk_ = 1; }
    /// Nobody has missed a name here yet, or found one too old since the last walk.
    bool is_walk_to_begin() const noexcept {
        return pass_ == Pass::names && misses_ == 0 && stale_ == 0 && ahead == Ahead::idle;
    }
    /// A name was answered from here, or attributes were. True once, when that were enough
    /// answers to be worth a page.
    bool hit() noexcept { return ++hits_ == kHitsForAPage; }
    bool may_search() const noexcept { return search_ == Search::permitted; }
    void permit_search() noexcept { search_ = Search::permitted; }
    /// Somebody goes through the directory name by name, and pages so far were worth their while.
    bool wants_page() const noexcept;
    /// Of the listing that goes ahead of such a walk; there is one at most.
    enum class Ahead : std::uint8_t { idle, under_way, given_up } ahead = Ahead::idle;

private:
    /// Lookups in one directory, one after the other, that look like a walk.
    static constexpr std::uint32_t kWalk = 3;
    static constexpr std::uint32_t kHitsForAPage = 8;

    void put(const std::string& name, std::optional<Listed> listed);
    void touch(const std::string& name);

    std::shared_ptr<NamesBudget> budget_;
    std::unordered_map<std::string, std::optional<Listed>> names_;  ///< no value: only its name
    std::unordered_map<std::string, Load> touched_;                 ///< while pages are under way
    std::uint32_t loads_ = 0;
    Load sequence_ = 0;
    std::optional<core::SteadyTime> doubted_;
    enum class Extent : std::uint8_t { part, all };
    /// Of the names, and how far pages in their order brought them.
    Extent extent_ = Extent::part;
    std::uint64_t named_up_to_ = 0;
    /// Of the handles: a reader of the mere names has them of the first page only.
    Extent listed_ = Extent::part;
    nfs::DirCursor next_;
    /// What pages are fetched ahead for: further names, or newer attributes of those known.
    enum class Pass : std::uint8_t { names, attributes } pass_ = Pass::names;
    enum class Search : std::uint8_t { unproven, permitted } search_ = Search::unproven;
    std::uint32_t walk_ = kWalk;
    std::uint32_t first_walk_ = kWalk;  ///< what walk_ was to begin with
    std::uint32_t misses_ = 0;  ///< since the last page, of one name after another
    std::size_t last_missed_ = 0;
    std::uint32_t stale_ = 0;  ///< attributes found too old, of one file after another
    std::size_t last_stale_ = 0;
    std::uint32_t hits_ = 0;
    std::uint32_t pages_ = 0;
    std::uint32_t fetched_ = 0;  ///< pages too: all that came ahead of a walk
};

}  // namespace uidnfs::fs
