// SPDX-License-Identifier: Apache-2.0
#include "support/tree.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace uidnfs::test {
namespace {

constexpr std::uint64_t kFsid = 0x7465'7374;
constexpr std::size_t kMostRemoved = 4;

std::uint64_t scatter(std::uint64_t value) {
    value = (value ^ value >> 30) * 0xbf58'476d'1ce4'e5b9;
    value = (value ^ value >> 27) * 0x94d0'49bb'1331'11eb;
    return (value ^ value >> 31) & 0x7fff'ffff'ffff'ffff;
}

}  // namespace

Tree::Tree(Behaviour behaviour) : behaviour_(behaviour) {
    clock_.set_tick(behaviour_.tick);
    root_ = &make(nfs::FileType::directory, 0777, 0, 0);
    root_->parent = root_;
}

std::optional<HandleBytes> Tree::parse(const nfs::FileHandle& handle) const noexcept {
    HandleBytes id{};
    if (handle.bytes().size() != behaviour_.handle_bytes) return std::nullopt;
    std::memcpy(&id, handle.bytes().data(), sizeof id);
    return id.fsid == kFsid ? std::optional(id) : std::nullopt;
}

Node* Tree::find(const nfs::FileHandle& handle) noexcept {
    const auto id = parse(handle);
    const auto it = id ? nodes_.find(id->fileid) : nodes_.end();
    if (it == nodes_.end()) return nullptr;
    return it->second->generation == id->generation ? it->second.get() : nullptr;
}

const Node* Tree::find_or_removed(const nfs::FileHandle& handle) noexcept {
    if (const auto* node = find(handle)) return node;
    const auto id = parse(handle);
    if (!id) return nullptr;
    for (const auto& node : removed_) {
        if (node->generation == id->generation) return node.get();
    }
    return nullptr;
}

nfs::FileHandle Tree::handle(const Node& node) const {
    std::array<std::byte, 64> bytes{};
    const HandleBytes id{kFsid, node.fileid, node.generation};
    std::memcpy(bytes.data(), &id, sizeof id);
    return nfs::FileHandle(std::span(bytes).first(behaviour_.handle_bytes));
}

nfs::Attr Tree::attr(const Node& node) const {
    nfs::Attr out;
    out.type = node.type;
    out.mode = node.mode;
    out.nlink = behaviour_.links == Links::counted ? node.nlink : 0;
    out.uid = mapper::ServerUid(node.uid);
    out.gid = mapper::ServerGid(node.gid);
    switch (node.type) {
        case nfs::FileType::regular:
            out.size = node.content.size();
            out.used = node.content.used();
            break;
        case nfs::FileType::directory: out.size = out.used = 4096; break;
        case nfs::FileType::symlink: out.size = node.target.size(); break;
        default: break;
    }
    out.rdev_major = node.rdev_major;
    out.rdev_minor = node.rdev_minor;
    out.fsid = node.shown_fsid;
    out.fileid = node.shown_fileid;
    out.atime = node.atime;
    out.mtime = node.mtime;
    out.ctime = node.ctime;
    return out;
}

Node* Tree::child(Node& directory, std::string_view name) noexcept {
    const auto it = directory.names.find(name);
    return it == directory.names.end() ? nullptr : it->second.node;
}

Node& Tree::make(
    nfs::FileType type, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid
) {
    auto node = std::make_unique<Node>();
    if (behaviour_.file_ids == FileIds::reused && !free_ids_.empty()) {
        node->fileid = free_ids_.back();
        free_ids_.pop_back();
    } else {
        node->fileid = next_fileid_++;
    }
    node->generation = next_generation_++;
    node->shown_fsid = kFsid;
    node->shown_fileid = node->fileid;
    node->type = type;
    node->nlink = type == nfs::FileType::directory ? 2 : 0;
    node->mode = mode & 07777;
    node->uid = uid;
    node->gid = gid;
    node->atime = node->mtime = node->ctime = clock_.stamp();
    auto& out = *node;
    nodes_[out.fileid] = std::move(node);
    return out;
}

std::uint64_t Tree::new_cookie(Node& directory) const {
    const auto next = directory.next_cookie++;
    switch (behaviour_.cookies) {
        case CookieStyle::small: return next;
        case CookieStyle::high_bit: return next | std::uint64_t{1} << 63;
        case CookieStyle::scattered: break;
    }
    auto cookie = scatter(next);
    while (cookie < 3 || directory.by_cookie.contains(cookie)) cookie = scatter(cookie + 1);
    return cookie;
}

void Tree::attach(Node& directory, std::string_view name, Node& node) {
    const auto cookie = new_cookie(directory);
    directory.names.emplace(name, DirSlot{&node, cookie});
    directory.by_cookie.emplace(cookie, name);
    ++directory.changes;
    if (node.is_directory()) {
        node.parent = &directory;
        ++directory.nlink;
    } else {
        ++node.nlink;
    }
    touch(directory, Touch::mtime_and_ctime);
}

void Tree::detach(Node& directory, std::string_view name) {
    const auto it = directory.names.find(name);
    auto& node = *it->second.node;
    directory.by_cookie.erase(it->second.cookie);
    directory.names.erase(it);
    ++directory.changes;
    touch(directory, Touch::mtime_and_ctime);
    if (node.is_directory()) {
        --directory.nlink;
        node.parent = nullptr;
    } else {
        --node.nlink;
    }
    touch(node, Touch::ctime);
}

void Tree::bury(Node& node) {
    if (node.is_directory() ? node.parent != nullptr : node.nlink > 0) return;
    auto buried = nodes_.extract(node.fileid);
    free_ids_.push_back(buried.key());
    if (behaviour_.removed == Removed::stale || buried.mapped()->is_directory()) return;
    removed_.push_back(std::move(buried.mapped()));
    if (removed_.size() > kMostRemoved) removed_.pop_front();
}

void Tree::touch(Node& node, Touch what) {
    node.ctime = clock_.stamp();
    if (what == Touch::mtime_and_ctime) node.mtime = node.ctime;
}

bool Tree::is_under(const Node& below, const Node& top) const noexcept {
    for (auto* at = &below;; at = at->parent) {
        if (at == &top) return true;
        if (at == root_ || at->parent == nullptr) return false;
    }
}

bool Tree::is_member(std::uint32_t gid, const Identity& who) noexcept {
    return who.gid == gid || std::find(who.groups.begin(), who.groups.end(), gid) != who.groups.end();
}

std::uint32_t Tree::permitted(const Node& node, const Identity& who) const noexcept {
    if (is_trusted_root(who)) {
        const bool runs = node.is_directory() || (node.mode & 0111) != 0;
        return runs ? 7u : 6u;
    }
    if (node.uid == who.uid) return node.mode >> 6 & 7;
    if (is_member(node.gid, who)) return node.mode >> 3 & 7;
    return node.mode & 7;
}

std::uint64_t Tree::used_bytes() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& [id, node] : nodes_) sum += node->content.used();
    return sum;
}

std::uint64_t Tree::uncommitted_bytes() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& [id, node] : nodes_) sum += node->uncommitted.bytes();
    return sum;
}

void Tree::crash() {
    for (auto& [id, node] : nodes_) {
        if (node->uncommitted.empty() && node->content.size() == node->disk.size()) continue;
        node->content = node->disk;
        node->uncommitted = {};
    }
}

}  // namespace uidnfs::test
