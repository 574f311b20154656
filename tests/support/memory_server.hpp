// SPDX-License-Identifier: Apache-2.0
// MemoryServer: an NFS version 3 server in memory, by RFC 1813 section 3.3: what each procedure does, whom
// it refuses and what it says about attributes before and after. Owned by a test; every member may be
// called from any thread (one lock). The adapters MemoryClient and RpcPeer put it behind the seam or
// behind a socket; both ask admit() first, so that faults work the same way through either.
#pragma once

#include "nfs/client.hpp"
#include "support/behaviour.hpp"
#include "support/call_log.hpp"
#include "support/protocol.hpp"
#include "support/tree.hpp"

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::test {

/// A reply as the wire has it: optional attributes come with refusals as well.
template <class Body>
struct Reply {
    Status status = Status::ok;
    Body body = {};
};

struct ReadBody {
    std::vector<std::byte> data;
    enum class End : std::uint8_t { no, yes } end = End::no;
    std::optional<nfs::Attr> attr;
};

/// Who a test's own files belong to unless it says otherwise.
inline constexpr std::uint32_t kUid = 1001;
inline constexpr std::uint32_t kGid = 1001;

class MemoryServer {
public:
    using Name = std::string_view;
    using Handle = nfs::FileHandle;

    explicit MemoryServer(Behaviour behaviour = {});
    MemoryServer(const MemoryServer&) = delete;
    MemoryServer& operator=(const MemoryServer&) = delete;

    // --- what the adapters call --------------------------------------------------------------------

    /// First for every call: records it and says what goes wrong with it. Runs Fault::before.
    Fault admit(const Call& call);

    Reply<nfs::Attr> getattr(const Identity& who, const Handle& object);
    Reply<nfs::Wcc> setattr(
        const Identity& who,
        const Handle& object,
        const nfs::SetAttr& change,
        std::optional<nfs::Time> guard
    );
    Reply<nfs::LookupReply> lookup(const Identity& who, const Handle& directory, Name name);
    Reply<nfs::AccessReply> access(const Identity& who, const Handle& object, nfs::AccessBits wanted);
    Reply<nfs::ReadlinkReply> readlink(const Identity& who, const Handle& object);
    Reply<ReadBody> read(
        const Identity& who, const Handle& file, std::uint64_t offset, std::uint32_t count
    );
    Reply<nfs::WriteReply> write(
        const Identity& who,
        const Handle& file,
        std::uint64_t offset,
        std::span<const std::byte> data,
        nfs::Stability stability
    );
    Reply<nfs::CommitReply> commit(
        const Identity& who, const Handle& file, std::uint64_t offset, std::uint32_t count
    );
    Reply<nfs::CreateReply> create(
        const Identity& who,
        const Handle& directory,
        Name name,
        nfs::CreateHow how,
        const nfs::SetAttr& attributes,
        const nfs::Verifier& verifier
    );
    Reply<nfs::CreateReply> mkdir(
        const Identity& who, const Handle& directory, Name name, const nfs::SetAttr& attributes
    );
    Reply<nfs::CreateReply> symlink(
        const Identity& who,
        const Handle& directory,
        Name name,
        std::string_view target,
        const nfs::SetAttr& attributes
    );
    Reply<nfs::CreateReply> mknod(
        const Identity& who,
        const Handle& directory,
        Name name,
        nfs::FileType type,
        std::uint32_t rdev_major,
        std::uint32_t rdev_minor,
        const nfs::SetAttr& attributes
    );
    Reply<nfs::Wcc> remove(const Identity& who, const Handle& directory, Name name);
    Reply<nfs::Wcc> rmdir(const Identity& who, const Handle& directory, Name name);
    Reply<nfs::RenameReply> rename(
        const Identity& who,
        const Handle& from_directory,
        Name from_name,
        const Handle& to_directory,
        Name to_name
    );
    Reply<nfs::LinkReply> link(
        const Identity& who, const Handle& file, const Handle& directory, Name name
    );
    Reply<nfs::DirPage> readdir(
        const Identity& who, const Handle& directory, const nfs::DirCursor& from, std::uint32_t count
    );
    Reply<nfs::DirPage> readdirplus(
        const Identity& who,
        const Handle& directory,
        const nfs::DirCursor& from,
        std::uint32_t names_count,
        std::uint32_t whole_count
    );
    Reply<nfs::FsStatReply> fsstat(const Identity& who, const Handle& object);
    Reply<nfs::FsInfo> fsinfo(const Identity& who, const Handle& object);
    Reply<nfs::PathConf> pathconf(const Identity& who, const Handle& object);

    /// Attributes of an object for replies that carry them beside the procedure's own body.
    std::optional<nfs::Attr> post_op(const Handle& object);
    std::uint64_t fileid_of(const Handle& object);

    // --- what tests do to it -----------------------------------------------------------------------

    void inject(Fault fault);
    void forget_faults();
    /// Bytes that were not committed are gone, and the verifier is another.
    void crash();
    /// The verifier is another, but nothing is lost.
    void change_verifier();
    void adjust(const std::function<void(Behaviour&)>& change);
    /// stop(), advance() the server's clock.
    void with_clock(const std::function<void(ServerClock&)>& change);

    std::vector<Call> calls() const;
    std::size_t count(Procedure procedure) const;
    std::size_t count(const std::function<bool(const Call&)>& matches) const;
    void clear_calls();

    // --- what somebody on the server itself does, without permission checks --------------------------
    // Paths begin with '/'. REQUIRES: the parent exists.

    Handle root() const;
    std::uint64_t put_file(std::string_view path, std::string_view content, std::uint32_t mode = 0644);
    std::uint64_t put_directory(std::string_view path, std::uint32_t mode = 0755);
    std::uint64_t put_symlink(std::string_view path, std::string_view target);
    /// As an editor on another client: changes bytes in place.
    void overwrite(std::string_view path, std::uint64_t offset, std::string_view bytes);
    void remove_path(std::string_view path);
    void move_path(std::string_view from, std::string_view to);
    void set_mode(std::string_view path, std::uint32_t mode);
    void set_owner(std::string_view path, std::uint32_t uid, std::uint32_t gid);
    void set_size(std::string_view path, std::uint64_t size);
    /// What it is shown as from now on.
    void set_place(std::string_view path, std::uint64_t fsid, std::uint64_t fileid);

    bool exists(std::string_view path) const;
    /// REQUIRES: exists.
    nfs::Attr attr(std::string_view path) const;
    Handle handle(std::string_view path) const;
    std::string content(std::string_view path) const;
    /// What a crash would leave.
    std::string disk_content(std::string_view path) const;
    /// Bytes that a crash would lose.
    std::uint64_t uncommitted_bytes() const;
    /// Without "." and "..", sorted.
    std::vector<std::string> names(std::string_view directory) const;

private:
    Identity effective(const Identity& who) const;
    std::optional<nfs::Attr> shown(const Node* node);
    nfs::Wcc wcc(const std::optional<nfs::WccAttr>& before, const Node* after);
    nfs::WccAttr wcc_attr(const Node& node) const;

    /// Why `who` may not change names in `directory`; ok if it may.
    Status may_change_names(const Node& directory, const Identity& who) const;
    Status may_delete(const Node& directory, const Node& victim, const Identity& who) const;
    Status check_name(Name name) const;
    Status check_change(const Node& node, const nfs::SetAttr& change, const Identity& who) const;
    void apply(Node& node, const nfs::SetAttr& change, const Identity& who);
    Node& make_child(
        Node& directory,
        Name name,
        nfs::FileType type,
        const nfs::SetAttr& attributes,
        std::uint32_t default_mode,
        const Identity& who
    );
    Reply<nfs::CreateReply> make_special(
        const Identity& who,
        const Handle& directory,
        Name name,
        nfs::FileType type,
        const nfs::SetAttr& attributes,
        const std::function<void(Node&)>& complete
    );
    void describe_created(nfs::CreateReply& body, Node& node);
    Reply<nfs::Wcc> remove_name(
        const Identity& who, const Handle& directory, Name name, nfs::FileType wanted
    );
    Status rename_checked(
        Node& from, Name from_name, Node& to, Name to_name, const Identity& who
    );
    /// `fits` completes an entry and says whether there is room for it.
    Reply<nfs::DirPage> list(
        const Identity& who,
        const Handle& directory,
        const nfs::DirCursor& from,
        const std::function<bool(nfs::DirEntry&, Node&)>& fits
    );
    nfs::Verifier cookie_verifier(const Node& directory) const;
    static void resize(Node& node, std::uint64_t size);
    void new_boot();

    Node& at(std::string_view path) const;
    Node* find_path(std::string_view path) const;
    std::pair<Node*, std::string> parent_of(std::string_view path) const;

    enum class Part : std::uint8_t { shown, hidden };
    Part decide(Presence presence);

    mutable std::mutex mutex_;
    mutable Tree tree_;
    CallLog log_;
    nfs::Verifier write_verifier_{};
    std::uint64_t boots_ = 0;
    std::uint64_t parts_ = 0;  ///< optional parts so far, for Presence::alternating
};

}  // namespace uidnfs::test
