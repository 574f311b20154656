// SPDX-License-Identifier: Apache-2.0
// Client3: nfs::Client for NFS version 3 over a Transport. Encodes, sends, decodes; waits out
// JUKEBOX; and knows what the answer to a retransmitted call means. Owned by whoever mounted;
// reactor's thread only.
#pragma once

#include "core/seldom.hpp"
#include "nfs/client.hpp"
#include "nfs/mount.hpp"
#include "nfs/rpc/transport.hpp"
#include "nfs/v3/decode.hpp"
#include "nfs/v3/encode.hpp"
#include "nfs/v3/procedure.hpp"
#include "nfs/v3/replay.hpp"

#include <array>
#include <memory>
#include <optional>

namespace uidnfs::nfs::v3 {

/// Sizes that the options ask for; 0: the server's preference.
struct TransferSizes {
    std::uint32_t rsize = 0;
    std::uint32_t wsize = 0;
};

/// The most that one READ or WRITE carries.
inline constexpr std::uint32_t kMaxTransfer = 1u << 20;

/// What the server can do, cut to what we can carry and what was asked for (multiples of 4096 from
/// there on, of 1024 below, as nfs(5) says). Pure.
FsInfo to_fs_info(const WireFsInfo& wire, const TransferSizes& sizes) noexcept;

/// How to tell the MOUNT service that we are gone.
struct UnmountNotice {
    std::string server_name;
    rpc::Endpoint mount_service;  ///< port 0: nobody to tell
    std::string export_path;
    SourcePort source_port = SourcePort::reserved;
    ConnectionListener on_connection = {};
};

class Client3 final : public Client {
public:
    struct Deps {
        std::unique_ptr<rpc::Transport> transport;
        FileHandle root;
        TransferSizes sizes;
        UnmountNotice notice;
    };

    explicit Client3(Deps deps);
    ~Client3() override;

    /// Of FSINFO, once, before anybody else uses the client.
    void set_fs_info(const FsInfo& info) noexcept { fs_info_ = info; }
    /// For export_state().
    void set_root_attr(const Attr& attr) noexcept { root_attr_ = attr; }
    rpc::Transport& transport() noexcept { return *transport_; }
    /// Is the server there and does it speak version 3?
    core::Task<core::Result<void>> null(const CallContext& context);

    const FileHandle& root() const override { return root_; }
    const FsInfo& fs_info() const override { return fs_info_; }

    core::Task<core::Result<Attr>> getattr(const CallContext&, const FileHandle&) override;
    core::Task<core::Result<Wcc>> setattr(
        const CallContext&, const OpenRef&, const SetAttr&, std::optional<Time> guard
    ) override;
    core::Task<core::Result<LookupReply>> lookup(
        const CallContext&, const FileHandle& dir, std::string_view name
    ) override;
    core::Task<core::Result<AccessReply>> access(
        const CallContext&, const FileHandle&, AccessBits wanted
    ) override;
    core::Task<core::Result<ReadlinkReply>> readlink(const CallContext&, const FileHandle&)
        override;
    core::Task<core::Result<OpenReply>> open(
        const CallContext&, const FileHandle&, AccessBits wanted
    ) override;
    core::Task<core::Result<void>> close(const CallContext&, const OpenRef&) override;
    core::Task<core::Result<ReadReply>> read(
        const CallContext&, const OpenRef&, std::uint64_t offset, std::uint32_t count
    ) override;
    core::Task<core::Result<WriteReply>> write(
        const CallContext&,
        const OpenRef&,
        std::uint64_t offset,
        std::span<const core::Slice> data,
        Stability
    ) override;
    core::Task<core::Result<CommitReply>> commit(
        const CallContext&, const OpenRef&, std::uint64_t offset, std::uint32_t count
    ) override;
    core::Task<core::Result<CreateReply>> create(
        const CallContext&,
        const FileHandle& dir,
        std::string_view name,
        CreateHow,
        const SetAttr& attributes,
        const Verifier& verifier
    ) override;
    core::Task<core::Result<CreateReply>> mkdir(
        const CallContext&, const FileHandle& dir, std::string_view name, const SetAttr& attributes
    ) override;
    core::Task<core::Result<CreateReply>> symlink(
        const CallContext&,
        const FileHandle& dir,
        std::string_view name,
        std::string_view target,
        const SetAttr& attributes
    ) override;
    core::Task<core::Result<CreateReply>> mknod(
        const CallContext&,
        const FileHandle& dir,
        std::string_view name,
        FileType type,
        std::uint32_t rdev_major,
        std::uint32_t rdev_minor,
        const SetAttr& attributes
    ) override;
    core::Task<core::Result<Wcc>> remove(
        const CallContext&, const FileHandle& dir, std::string_view name
    ) override;
    core::Task<core::Result<Wcc>> rmdir(
        const CallContext&, const FileHandle& dir, std::string_view name
    ) override;
    core::Task<core::Result<RenameReply>> rename(
        const CallContext&,
        const FileHandle& from_dir,
        std::string_view from_name,
        const FileHandle& to_dir,
        std::string_view to_name,
        std::optional<std::uint64_t> fileid
    ) override;
    core::Task<core::Result<LinkReply>> link(
        const CallContext&, const FileHandle& file, const FileHandle& dir, std::string_view name
    ) override;
    core::Task<core::Result<DirPage>> readdir(
        const CallContext&, const FileHandle& dir, const DirCursor& from, std::uint32_t max_bytes
    ) override;
    core::Task<core::Result<DirPage>> readdirplus(
        const CallContext&, const FileHandle& dir, const DirCursor& from, std::uint32_t max_bytes
    ) override;
    core::Task<core::Result<FsStatReply>> fsstat(const CallContext&, const FileHandle&) override;
    core::Task<core::Result<FsInfo>> fsinfo(const CallContext&, const FileHandle&) override;
    core::Task<core::Result<PathConf>> pathconf(const CallContext&, const FileHandle&) override;

    ClientStatus status() const override;
    void trim() override;
    std::vector<std::byte> export_state() const override;
    void suspend(core::Error why) override { transport_->suspend(why); }
    void resume() override { transport_->resume(); }
    core::Task<void> shutdown(const CallContext&) override;

private:
    struct Statistics {
        std::uint64_t calls = 0;
        std::uint64_t errors = 0;
        std::uint64_t total_us = 0;
        std::uint64_t max_us = 0;
        LatencyCounts latency{};
    };

    /// What a call is, besides its arguments.
    struct Shape {
        Procedure procedure;
        int refused = 0;  ///< errno: the arguments cannot be sent at all
        rpc::Route route = {};
        std::size_t reply_bytes = 0;  ///< payload of the reply
        std::size_t argument_bytes = kArgumentRoom;
        std::span<const core::Slice> payload = {};
        rpc::Send send = rpc::Send::now;
        rpc::Transmission* transmission = nullptr;  ///< hears how often it was sent
        /// What it is about, where that is names.
        std::array<const FileHandle*, 2> named = {};
    };

    /// One call from encoding to decoding, asked again while the server says JUKEBOX, and where it
    /// calls a directory stale that is not.
    /// `encode(Buffer) -> size`, `decode(Slice) -> Result<T>`; both see only what the caller owns.
    template <class T, class Encode, class Decode>
    core::Task<core::Result<T>> call(
        const CallContext& context, Shape shape, Encode encode, Decode decode
    );
    /// Whether all that `shape` names has attributes.
    core::Task<bool> is_there(const CallContext& context, const Shape& shape);
    /// CREATE, MKDIR, SYMLINK, MKNOD: with the rules for retransmitted calls.
    template <class Encode>
    core::Task<core::Result<CreateReply>> make(
        const CallContext& context,
        const FileHandle& dir,
        std::string_view name,
        Shape shape,
        Expected expected,
        std::string_view target,  ///< of a symlink
        SetAttr attributes,
        Encode encode  ///< (Buffer, SetAttr) -> size
    );
    /// What stands under the name.
    struct Found {
        std::optional<CreateReply> ours = std::nullopt;
        enum class Later : std::uint8_t { no, maybe } later = Later::no;  ///< its mark may come
    };
    core::Task<Found> find_made(
        const CallContext& context,
        const FileHandle& dir,
        std::string_view name,
        const Expected& expected,
        std::string_view target
    );
    /// REMOVE, RMDIR.
    core::Task<core::Result<Wcc>> unlink(
        const CallContext& context,
        Procedure procedure,
        const FileHandle& dir,
        std::string_view name
    );
    /// LOOKUP with attributes, also where the server leaves them out.
    core::Task<core::Result<LookupReply>> look(
        const CallContext& context, const FileHandle& dir, std::string_view name
    );

    /// An ACCESS that is under way beside a GETATTR.
    struct SideAccess;
    core::Task<void> run(
        SideAccess& side, const CallContext& context, const FileHandle& handle, AccessBits wanted
    );

    static rpc::Route pinned_to(const FileHandle& dir) noexcept {
        return rpc::Route::pinned_by(FileHandleHash()(dir));
    }
    /// `error`: code 0 for success.
    void account(Procedure procedure, core::SteadyTime begun_at, const core::Error& error) noexcept;

    std::unique_ptr<rpc::Transport> transport_;
    FileHandle root_;
    TransferSizes sizes_;
    UnmountNotice notice_;
    FsInfo fs_info_;
    Attr root_attr_;
    /// Whether the server keeps the access time that a symbolic link is made with.
    enum class Marks : std::uint8_t { unknown, kept, lost } link_marks_ = Marks::unknown;
    std::array<Statistics, kProcedures> statistics_{};
    core::Seldom complaints_;  ///< about replies
};

}  // namespace uidnfs::nfs::v3
