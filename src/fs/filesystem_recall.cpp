// SPDX-License-Identifier: Apache-2.0
// Recall: lookups answered from what listings told (known_names.hpp), and listings that are asked
// for because somebody walks through a directory name by name.
#include "fs/filesystem.hpp"

#include <algorithm>

namespace uidnfs::fs {
namespace {

using namespace std::chrono_literals;

/// That a listing did not show a name says less than the server's answer about that very name: it
/// counts only while the directory was the same a moment ago.
constexpr auto kAbsenceHolds = 1s;
/// No file system of today takes fewer bytes in a name (_XOPEN_NAME_MAX of limits.h(0p) is 255,
/// some encrypting ones take 143).
constexpr std::size_t kSurelyShort = 143;
/// Pages that are asked for at the first name in directories beside one in which many were; so many
/// programs at once go through directories of their own, and so much is wasted at most.
constexpr std::uint32_t kPagesForOne = 2;
constexpr std::uint32_t kMostPages = 16;

}  // namespace

std::shared_ptr<KnownNames> Filesystem::names_of(const InodeRef& directory) {
    // With identity=caller one caller's listing is not the other's to see.
    if (options_.identity != IdentityMode::fixed || !directory) return nullptr;
    if (options_.lookup_cache == LookupCache::none || options_.timers.dir_max == 0ms)
        return nullptr;
    // What is not listed may be there all the same, and what is listed may be gone.
    if (folds_case()) return nullptr;
    if (!directory->known) {
        directory->known = std::make_shared<KnownNames>(names_budget_);
    }
    return directory->known;
}

bool Filesystem::may_search(const Inode& directory) const noexcept {
    if (directory.known->may_search()) return true;
    using Known = decltype(directory.access)::Known;
    return directory.access.known == Known::yes &&
           directory.access.ctime == directory.attrs.attr().ctime &&
           (directory.access.granted & nfs::kAccessLookup);
}

std::optional<Entry> Filesystem::recall(const InodeRef& parent, const std::string& name) {
    if (!parent->known || folds_case() || !parent->attrs.is_fresh(now()) || !may_search(*parent)) {
        return std::nullopt;
    }
    const bool is_recent =
        now() - parent->known->confirmed(parent->attrs.confirmed()) <= kAbsenceHolds;
    if (parent->known->is_doubted() && !is_recent) {
        // Whoever makes many names here goes on: the next miss brings a listing.
        const bool was_complete = parent->known->is_complete();
        parent->known.reset();
        if (const auto known = names_of(parent); known && was_complete) known->expect_walk();
        return std::nullopt;
    }
    const auto found = parent->known->find(name);
    using Answer = KnownNames::Found::Answer;
    switch (found.answer) {
        case Answer::ask_server: return std::nullopt;
        case Answer::named: return is_recent ? recall_directory(parent, name) : std::nullopt;
        case Answer::absent: {
            if (options_.lookup_cache != LookupCache::all) return std::nullopt;
            if (name.size() > kSurelyShort)
                return std::nullopt;  // ENAMETOOLONG is the server's word
            if (!is_recent) return std::nullopt;
            note_hit(*parent);
            return absent(*parent);
        }
        case Answer::listed: break;
    }
    const auto& listed = *found.listed;
    auto inode = inodes_.find(listed.handle);
    if (inode) {
        if (inode->type != listed.attr.type || !inode->attrs.is_fresh(now())) return std::nullopt;
    } else {
        // Another of its names may have been used to change it.
        const bool is_file = listed.attr.type != nfs::FileType::directory;
        if (is_file && listed.attr.nlink != 1) return std::nullopt;
        const auto range = timers(listed.attr.type);
        if (now() - listed.asked.time >= range.min) return std::nullopt;
        // What we changed under another name, or one that only a worker before this one knew, may
        // be it.
        if (inodes_.unnamed_changed_at() > listed.asked.changes) return std::nullopt;
        inode = inodes_.get(listed.handle, listed.attr);
        if (!inode) return std::nullopt;
        // As old as the listing.
        inode->attrs.learn(listed.attr, AttrCache::token(), listed.asked.time, range);
    }
    note_hit(*parent);
    inodes_.add_name(parent, name, inode);
    return entry(*parent, inode);
}

std::optional<Entry> Filesystem::recall_directory(const InodeRef& parent, const std::string& name) {
    const auto inode = inodes_.child(*parent, name);
    if (!inode || !inode->is_directory() || !inode->attrs.is_fresh(now())) return std::nullopt;
    note_hit(*parent);
    return entry(*parent, inode);
}

void Filesystem::note_miss(
    const nfs::CallContext& context, const InodeRef& parent, const std::string& name
) {
    const auto known = names_of(parent);
    if (!known) return;
    join_walk(*parent);
    known->missed(name);
    list_if_wanted(context, parent);
}

void Filesystem::list_if_wanted(const nfs::CallContext& context, const InodeRef& directory) {
    const auto& known = directory->known;
    if (!known->wants_page()) return;
    if (options_.readdirplus == Readdirplus::off || readdirplus_ == Support::missing) return;
    known->ahead = KnownNames::Ahead::under_way;
    // It outlives the request, whose record is not its to touch.
    core::spawn(list_ahead(nfs::CallContext{context.credential}, directory));
}

void Filesystem::note_stale(const nfs::CallContext& context, const Inode& inode) {
    // Pages say nothing new of what has several names: learn_page().
    if (inode.names.empty() || inode.attrs.is_changing()) return;
    const auto parent = inodes_.find(inode.names.front().parent);
    const auto known = names_of(parent);
    if (!known) return;
    join_walk(*parent);
    known->found_stale(inode.names.front().name);
    list_if_wanted(context, parent);
}

void Filesystem::note_fresh(const Inode& inode) {
    if (inode.names.empty()) return;
    const auto parent = inodes_.find(inode.names.front().parent);
    if (parent && parent->known) note_hit(*parent);
}

void Filesystem::note_hit(const Inode& directory) {
    if (!directory.known->hit() || directory.names.empty()) return;
    const auto above = directory.names.front().parent;
    if (walk_.above != above) walk_ = {above, 0};
    walk_.credit = std::min(walk_.credit + kPagesForOne, kMostPages);
}

void Filesystem::join_walk(const Inode& directory) {
    if (walk_.credit == 0 || directory.names.empty() || !directory.known->is_walk_to_begin())
        return;
    if (directory.names.front().parent != walk_.above) return;
    --walk_.credit;
    directory.known->expect_walk();
}

core::Task<void> Filesystem::list_ahead(nfs::CallContext context, InodeRef directory) {
    const auto known = directory->known;
    for (;;) {
        const auto from = known->next();
        const PageRequest request{
            from.cookie, known->begin_load(), asked_now()};
        const auto page =
            co_await deps_.client.readdirplus(context, directory->handle, from, kPageBytes);
        if (!page) {
            known->end_load();
            known->ahead = KnownNames::Ahead::given_up;
            co_return;
        }
        if (page->dir_attr) learn(directory, *page->dir_attr, request.asked.token);
        take_page(directory, *known, request, *page);
        known->ahead = KnownNames::Ahead::idle;
        // Nobody went on, or what was listed is no longer what is there.
        if (directory->known != known || !known->wants_page() || page->entries.empty()) co_return;
        known->ahead = KnownNames::Ahead::under_way;
    }
}

void Filesystem::take_page(
    const InodeRef& directory,
    KnownNames& known,
    const PageRequest& request,
    const nfs::DirPage& page
) {
    learn_page(known, request, page);
    if (directory->known.get() == &known) {
        if (names_budget_->is_used_up()) make_room_for_names(directory.get());
        if (!names_budget_->is_used_up()) {
            known.add(request.cookie, page, request.load, request.asked);
        }
    }
    known.end_load();
}

void Filesystem::learn_page(
    const KnownNames& known, const PageRequest& request, const nfs::DirPage& page
) {
    for (const auto& found : page.entries) {
        if (!found.handle || !found.attr || known.was_touched(found.name, request.load)) continue;
        // Another of its names may have been used to change it since the page was asked for.
        const bool is_file = found.attr->type != nfs::FileType::directory;
        if (is_file && found.attr->nlink != 1) continue;
        const auto inode = inodes_.find(*found.handle);
        if (!inode || inode->type != found.attr->type || inode->id == kRootId) continue;
        // What a change of ours left behind may be newer although it looks the same.
        if (inode->attrs.is_changing() || inode->changed_at > request.asked.changes) continue;
        learn(inode, *found.attr, request.asked.token);
    }
}

void Filesystem::make_room_for_names(const Inode* wanted) {
    const auto own = wanted && wanted->known ? wanted->known->size() : 0;
    if (names_budget_->used <= own) return;
    inodes_.for_each([&](const InodeRef& inode) {
        if (inode.get() != wanted) inode->known.reset();
    });
}

}  // namespace uidnfs::fs
