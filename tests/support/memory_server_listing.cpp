// SPDX-License-Identifier: Apache-2.0
// READDIR and READDIRPLUS: cookies, verifiers, and replies that end where their bytes do.
#include "support/memory_server.hpp"

#include <cstring>

namespace uidnfs::test {
namespace {

constexpr std::uint32_t kRead = 4;
constexpr std::uint64_t kDotCookie = 1;
constexpr std::uint64_t kDotDotCookie = 2;
// Sizes in XDR: status, post_op_attr, cookieverf, end of list and eof; an entry; fattr3.
constexpr std::uint32_t kPageBytes = 4 + 88 + 8 + 4 + 4;
constexpr std::uint32_t kAttrBytes = 84;

std::uint32_t padded(std::size_t bytes) { return static_cast<std::uint32_t>((bytes + 3) / 4 * 4); }

std::uint32_t name_bytes(const nfs::DirEntry& entry) {
    return 4 + 8 + 4 + padded(entry.name.size()) + 8;
}

}  // namespace

nfs::Verifier MemoryServer::cookie_verifier(const Node& directory) const {
    // Never zero, so that a client which forgets to send it back is found out.
    auto value = std::uint64_t{0x5eed'0000'0000'0000} + directory.fileid;
    if (tree_.behaviour().cookie_verifiers == CookieVerifiers::changing) {
        value += directory.changes << 24;
    }
    nfs::Verifier out;
    std::memcpy(out.data(), &value, sizeof value);
    return out;
}

Reply<nfs::DirPage> MemoryServer::list(
    const Identity& caller,
    const Handle& directory,
    const nfs::DirCursor& from,
    const std::function<bool(nfs::DirEntry&, Node&)>& fits
) {
    auto* dir = tree_.find(directory);
    if (!dir) return {Status::stale};
    const auto refuse = [&](Status status) {
        Reply<nfs::DirPage> reply{status};
        reply.body.dir_attr = shown(dir);
        return reply;
    };
    if (!dir->is_directory()) return refuse(Status::notdir);
    if (!(tree_.permitted(*dir, effective(caller)) & kRead)) return refuse(Status::acces);
    const auto verifier = cookie_verifier(*dir);
    if (from.cookie != 0 && from.verifier != verifier) return refuse(Status::bad_cookie);

    Reply<nfs::DirPage> reply;
    reply.body.verifier = verifier;
    enum class Taken : std::uint8_t { yes, no };
    const auto take = [&](std::string_view name, std::uint64_t cookie, Node& node) {
        nfs::DirEntry entry;
        entry.name = name;
        // Of a file system that is joined here, the number of what it covers.
        entry.fileid = node.shown_fsid == dir->shown_fsid ? node.shown_fileid : node.fileid;
        entry.cookie = cookie;
        if (!fits(entry, node)) return Taken::no;
        reply.body.entries.push_back(std::move(entry));
        return Taken::yes;
    };
    const auto fill = [&] {
        if (from.cookie < kDotCookie && take(".", kDotCookie, *dir) == Taken::no) return Taken::no;
        if (from.cookie < kDotDotCookie && take("..", kDotDotCookie, *dir->parent) == Taken::no) {
            return Taken::no;
        }
        for (auto it = dir->by_cookie.upper_bound(from.cookie); it != dir->by_cookie.end(); ++it) {
            auto& node = *dir->names.find(it->second)->second.node;
            if (take(it->second, it->first, node) == Taken::no) return Taken::no;
        }
        return Taken::yes;
    };
    const auto complete = fill();
    if (complete == Taken::no && reply.body.entries.empty()) return refuse(Status::toosmall);
    reply.body.more = complete == Taken::yes ? nfs::DirPage::More::end : nfs::DirPage::More::yes;
    if (dir->atime <= dir->mtime) dir->atime = tree_.clock().now();
    reply.body.dir_attr = shown(dir);
    return reply;
}

Reply<nfs::DirPage> MemoryServer::readdir(
    const Identity& who, const Handle& directory, const nfs::DirCursor& from, std::uint32_t count
) {
    const std::lock_guard lock(mutex_);
    auto used = kPageBytes;
    return list(who, directory, from, [&](nfs::DirEntry& entry, Node&) {
        used += name_bytes(entry);
        return used <= count;
    });
}

Reply<nfs::DirPage> MemoryServer::readdirplus(
    const Identity& who,
    const Handle& directory,
    const nfs::DirCursor& from,
    std::uint32_t names_count,
    std::uint32_t whole_count
) {
    const std::lock_guard lock(mutex_);
    if (tree_.behaviour().readdirplus == Support::no) return {Status::notsupp};
    auto names_used = kPageBytes;
    auto used = kPageBytes;
    return list(who, directory, from, [&](nfs::DirEntry& entry, Node& node) {
        if (decide(tree_.behaviour().entry_attrs) == Part::shown) entry.attr = tree_.attr(node);
        if (decide(tree_.behaviour().entry_handles) == Part::shown) entry.handle = tree_.handle(node);
        names_used += name_bytes(entry);
        used += name_bytes(entry) + 4 + (entry.attr ? kAttrBytes : 0) + 4 +
                (entry.handle ? 4 + padded(entry.handle->bytes().size()) : 0);
        return used <= whole_count && (names_used <= names_count || names_used == kPageBytes);
    });
}

}  // namespace uidnfs::test
