// SPDX-License-Identifier: Apache-2.0
// Client: the seam between file semantics and the wire, in the words of NFS. Version 3 stands
// behind it today; open/close, OpenRef and opaque cursors are there so that 4.1 fits as a second
// implementation. Reactor's thread only. Every call ends exactly once, with a result or an Error
// whose source says where it comes from. Retransmission, reconnection, JUKEBOX and short replies
// from lost connections are the client's business; file semantics are not.
#pragma once

#include "core/buffer.hpp"
#include "core/error.hpp"
#include "core/progress.hpp"
#include "core/task.hpp"
#include "nfs/types.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace uidnfs::nfs {

/// In whose name, and until when. Owned by the caller until the call ends.
struct CallContext {
    mapper::CredentialRef credential;
    /// Of the request that the call is made for: calls that count twice are noted in it, and are
    /// repetitions where a worker before this one had noted one.
    core::Progress progress = {};
};

/// An open file: trivially its handle in version 3; 4.1 adds a state id.
struct OpenRef {
    FileHandle handle;
    std::array<std::byte, 16> state{};
};

struct LookupReply {
    FileHandle handle;
    std::optional<Attr> attr;
    std::optional<Attr> dir_attr;
};

/// CREATE, MKDIR, SYMLINK, MKNOD. Handle and attributes may be missing (RFC 1813 3.3.8).
struct CreateReply {
    std::optional<FileHandle> handle;
    std::optional<Attr> attr;
    Wcc dir;
};

struct AccessReply {
    AccessBits granted = 0;
    std::optional<Attr> attr;
};

/// A reply to GETATTR and ACCESS of one object that went out together.
struct OpenReply {
    OpenRef open;
    Attr attr;
    AccessBits granted = 0;
};

struct ReadReply {
    core::Slice data;  ///< where the network put it; may be shorter than asked without `end`
    enum class End : std::uint8_t { no, yes } end = End::no;
    std::optional<Attr> attr;
};

struct ReadlinkReply {
    std::string target;
    std::optional<Attr> attr;
};

struct WriteReply {
    std::uint32_t count = 0;  ///< bytes taken; may be fewer than sent, never more
    Stability committed = Stability::unstable;
    Verifier verifier{};
    Wcc wcc;
};

struct CommitReply {
    Verifier verifier{};
    Wcc wcc;
};

struct RenameReply {
    Wcc from_dir;
    Wcc to_dir;
};

struct LinkReply {
    std::optional<Attr> attr;
    Wcc dir;
};

struct FsStatReply {
    FsStat stat;
    std::optional<Attr> attr;
};

/// Upper ends of the classes in which the times of calls are counted, microseconds; the last class
/// has none.
inline constexpr std::array<std::uint64_t, 10> kLatencyBoundsUs{
    250, 1'000, 2'500, 10'000, 25'000, 100'000, 250'000, 1'000'000, 5'000'000, 30'000'000};
using LatencyCounts = std::array<std::uint64_t, kLatencyBoundsUs.size() + 1>;

/// For the administrator: `uidnfs status`.
struct ClientStatus {
    std::string server_address;  ///< "192.0.2.1:2049"
    std::vector<std::uint16_t> local_ports;
    enum class Link : std::uint8_t { up, down } link = Link::down;
    std::uint64_t oldest_call_age_ms = 0;  ///< of a call that waits; 0: none
    std::uint64_t last_reply_age_ms = 0;
    std::uint64_t calls_in_flight = 0;
    std::uint64_t reconnects = 0;
    std::uint64_t retransmits = 0;
    std::uint64_t bytes_sent = 0;
    std::uint64_t bytes_received = 0;
    struct Procedure {
        std::string name;  ///< "GETATTR"
        std::uint64_t calls = 0;
        std::uint64_t errors = 0;
        std::uint64_t total_us = 0;
        std::uint64_t max_us = 0;
        LatencyCounts latency{};  ///< calls by time, each in one class
    };
    std::vector<Procedure> procedures;  ///< those that were called

    /// Calls wait, and nothing has come from the server for a second.
    bool is_silent() const noexcept {
        return oldest_call_age_ms > 1000 && last_reply_age_ms > 1000;
    }
};

class Client {
public:
    virtual ~Client() = default;

    virtual const FileHandle& root() const = 0;
    virtual const FsInfo& fs_info() const = 0;

    virtual core::Task<core::Result<Attr>> getattr(const CallContext&, const FileHandle&) = 0;
    /// `guard`: only if the file's ctime is this (EAGAIN-free: ESTALE-like NFS3ERR_NOT_SYNC ->
    /// EBUSY).
    virtual core::Task<core::Result<Wcc>> setattr(
        const CallContext&, const OpenRef&, const SetAttr&, std::optional<Time> guard
    ) = 0;
    virtual core::Task<core::Result<LookupReply>> lookup(
        const CallContext&, const FileHandle& dir, std::string_view name
    ) = 0;
    virtual core::Task<core::Result<AccessReply>> access(
        const CallContext&, const FileHandle&, AccessBits wanted
    ) = 0;
    virtual core::Task<core::Result<ReadlinkReply>>
    readlink(const CallContext&, const FileHandle&) = 0;

    /// GETATTR and ACCESS in one flight (one round trip).
    virtual core::Task<core::Result<OpenReply>> open(
        const CallContext&, const FileHandle&, AccessBits wanted
    ) = 0;
    virtual core::Task<core::Result<void>> close(const CallContext&, const OpenRef&) = 0;

    /// `count` at most fs_info().read_max.
    virtual core::Task<core::Result<ReadReply>> read(
        const CallContext&, const OpenRef&, std::uint64_t offset, std::uint32_t count
    ) = 0;
    /// The slices are sent one after another as one WRITE of at most fs_info().write_max bytes;
    /// they stay alive until the call ends.
    virtual core::Task<core::Result<WriteReply>> write(
        const CallContext&,
        const OpenRef&,
        std::uint64_t offset,
        std::span<const core::Slice> data,
        Stability
    ) = 0;
    /// `count` 0: to the end of the file.
    virtual core::Task<core::Result<CommitReply>> commit(
        const CallContext&, const OpenRef&, std::uint64_t offset, std::uint32_t count
    ) = 0;

    /// With CreateHow::exclusive only `verifier` goes out and the caller sets attributes afterwards
    /// (RFC 1813 3.3.8); else `attributes`.
    virtual core::Task<core::Result<CreateReply>> create(
        const CallContext&,
        const FileHandle& dir,
        std::string_view name,
        CreateHow,
        const SetAttr& attributes,
        const Verifier& verifier
    ) = 0;
    virtual core::Task<core::Result<CreateReply>> mkdir(
        const CallContext&, const FileHandle& dir, std::string_view name, const SetAttr& attributes
    ) = 0;
    virtual core::Task<core::Result<CreateReply>> symlink(
        const CallContext&,
        const FileHandle& dir,
        std::string_view name,
        std::string_view target,
        const SetAttr& attributes
    ) = 0;
    /// FIFOs, sockets and device nodes.
    virtual core::Task<core::Result<CreateReply>> mknod(
        const CallContext&,
        const FileHandle& dir,
        std::string_view name,
        FileType type,
        std::uint32_t rdev_major,
        std::uint32_t rdev_minor,
        const SetAttr& attributes
    ) = 0;
    virtual core::Task<core::Result<Wcc>> remove(
        const CallContext&, const FileHandle& dir, std::string_view name
    ) = 0;
    virtual core::Task<core::Result<Wcc>> rmdir(
        const CallContext&, const FileHandle& dir, std::string_view name
    ) = 0;
    /// `fileid`: of what is moved, if known. A repetition that finds no source any more counts as
    /// done when that file stands under the new name.
    virtual core::Task<core::Result<RenameReply>> rename(
        const CallContext&,
        const FileHandle& from_dir,
        std::string_view from_name,
        const FileHandle& to_dir,
        std::string_view to_name,
        std::optional<std::uint64_t> fileid
    ) = 0;
    virtual core::Task<core::Result<LinkReply>> link(
        const CallContext&, const FileHandle& file, const FileHandle& dir, std::string_view name
    ) = 0;

    /// Names only. EBADF-like NFS3ERR_BAD_COOKIE comes as EINVAL with detail 10003.
    /// `max_bytes`: size of the reply.
    virtual core::Task<core::Result<DirPage>> readdir(
        const CallContext&, const FileHandle& dir, const DirCursor& from, std::uint32_t max_bytes
    ) = 0;
    /// ENOTSUP where the server has no READDIRPLUS.
    virtual core::Task<core::Result<DirPage>> readdirplus(
        const CallContext&, const FileHandle& dir, const DirCursor& from, std::uint32_t max_bytes
    ) = 0;

    virtual core::Task<core::Result<FsStatReply>> fsstat(const CallContext&, const FileHandle&) = 0;
    virtual core::Task<core::Result<FsInfo>> fsinfo(const CallContext&, const FileHandle&) = 0;
    virtual core::Task<core::Result<PathConf>> pathconf(const CallContext&, const FileHandle&) = 0;

    virtual ClientStatus status() const = 0;
    /// Gives idle memory back to the system.
    virtual void trim() = 0;

    /// What the next worker needs to go on (resume_export()), in a form of its own; a few hundred
    /// bytes that change with the source ports only.
    virtual std::vector<std::byte> export_state() const = 0;

    /// Nothing is sent any more, until resume(): every call that waits and every later one ends with
    /// `why`, and the connections are closed. The waiting ones end from the loop, not from inside.
    /// What was sent before may still be done by the server.
    virtual void suspend(core::Error why) = 0;
    virtual void resume() = 0;

    /// Ends every waiting call with ECONNABORTED, then tells the server that the mount is gone
    /// (UMNT) where that takes no longer than a second. Nothing may be called afterwards.
    virtual core::Task<void> shutdown(const CallContext&) = 0;
};

}  // namespace uidnfs::nfs
