// SPDX-License-Identifier: Apache-2.0
// Tree: the files of the test server: nodes, names, handles, times and permission bits, without the words
// of the protocol. Guarded by its owner, MemoryServer.
#pragma once

#include "nfs/types.hpp"
#include "support/behaviour.hpp"
#include "support/call_log.hpp"
#include "support/server_clock.hpp"
#include "support/sparse_bytes.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace uidnfs::test {

struct Node;

struct DirSlot {
    Node* node = nullptr;
    std::uint64_t cookie = 0;
};

/// INVARIANT: `disk` equals `content` outside of `uncommitted`.
struct Node {
    std::uint64_t fileid = 0;
    std::uint64_t generation = 0;
    /// What it is shown as; another fsid: in a file system that is joined to the export.
    std::uint64_t shown_fsid = 0;
    std::uint64_t shown_fileid = 0;
    nfs::FileType type = nfs::FileType::regular;
    std::uint32_t mode = 0;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::uint32_t nlink = 0;
    std::uint32_t rdev_major = 0;
    std::uint32_t rdev_minor = 0;
    nfs::Time atime, mtime, ctime;

    SparseBytes content;
    SparseBytes disk;  ///< what a crash leaves
    RangeSet uncommitted;
    std::optional<nfs::Verifier> exclusive;  ///< of the CREATE that made it, until attributes are set
    std::string target;                      ///< of a symlink

    std::map<std::string, DirSlot, std::less<>> names;
    std::map<std::uint64_t, std::string> by_cookie;
    Node* parent = nullptr;  ///< of a directory; nullptr while it has no name
    std::uint64_t next_cookie = 3;
    std::uint64_t changes = 0;  ///< of the list of names

    bool is_directory() const noexcept { return type == nfs::FileType::directory; }
};

/// What a file handle begins with.
struct HandleBytes {
    std::uint64_t fsid;
    std::uint64_t fileid;
    std::uint64_t generation;
};
static_assert(sizeof(HandleBytes) == 24);

enum class Touch : std::uint8_t { ctime, mtime_and_ctime };

class Tree {
public:
    explicit Tree(Behaviour behaviour);

    Behaviour& behaviour() noexcept { return behaviour_; }
    const Behaviour& behaviour() const noexcept { return behaviour_; }
    ServerClock& clock() noexcept { return clock_; }

    Node& root() noexcept { return *root_; }
    /// nullptr: stale, or no handle of ours.
    Node* find(const nfs::FileHandle& handle) noexcept;
    /// Also one without a name, which lingers.
    const Node* find_or_removed(const nfs::FileHandle& handle) noexcept;
    nfs::FileHandle handle(const Node& node) const;
    nfs::Attr attr(const Node& node) const;
    Node* child(Node& directory, std::string_view name) noexcept;

    /// A node without a name yet.
    Node& make(nfs::FileType type, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid);
    /// REQUIRES: the name is free.
    void attach(Node& directory, std::string_view name, Node& node);
    /// The node stays until bury().
    void detach(Node& directory, std::string_view name);
    /// Frees a node that has no name left: its handles are stale from here on.
    void bury(Node& node);
    void touch(Node& node, Touch what);
    /// Whether `below` is `top` or lies under it.
    bool is_under(const Node& below, const Node& top) const noexcept;

    /// rwx bits that `who` has.
    std::uint32_t permitted(const Node& node, const Identity& who) const noexcept;
    bool is_trusted_root(const Identity& who) const noexcept {
        return who.uid == 0 && behaviour_.root == RootAccess::trusted;
    }
    bool owns(const Node& node, const Identity& who) const noexcept {
        return is_trusted_root(who) || node.uid == who.uid;
    }
    static bool is_member(std::uint32_t gid, const Identity& who) noexcept;

    std::uint64_t used_bytes() const noexcept;
    std::uint64_t uncommitted_bytes() const noexcept;
    std::uint64_t files() const noexcept { return nodes_.size(); }
    /// Uncommitted bytes are gone.
    void crash();

private:
    std::optional<HandleBytes> parse(const nfs::FileHandle& handle) const noexcept;
    std::uint64_t new_cookie(Node& directory) const;

    Behaviour behaviour_;
    ServerClock clock_;
    std::unordered_map<std::uint64_t, std::unique_ptr<Node>> nodes_;  // by fileid
    std::deque<std::unique_ptr<Node>> removed_;                       // those that linger
    std::vector<std::uint64_t> free_ids_;
    std::uint64_t next_fileid_ = 1000;
    std::uint64_t next_generation_ = 1;
    Node* root_ = nullptr;
};

}  // namespace uidnfs::test
