// SPDX-License-Identifier: Apache-2.0
// MemoryClient: nfs::Client straight to a MemoryServer, without a wire. Each call takes some rounds
// of the reactor on its way there and back, so that calls overtake each other as they do on a
// network, in the same way each time a seed is given. Owned by a test; reactor's thread only.
#pragma once

#include "core/event.hpp"
#include "core/reactor.hpp"
#include "nfs/client.hpp"
#include "support/memory_server.hpp"
#include "support/piped_payload.hpp"

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace uidnfs::test {

/// Rounds of the reactor that a call takes in each direction: 1..most, drawn from `seed`.
struct Travel {
    std::uint32_t most_rounds = 1;
    std::uint64_t seed = 1;
    core::SteadyDuration real_time{0};  ///< in each direction, in addition
};

/// What happens when an executed call's reply is lost: `fail` as a soft mount, `repeat` as a hard
/// one whose server has no duplicate-request cache, `remember` as one whose server has it.
enum class LostReply : std::uint8_t { fail, repeat, remember };

class MemoryClient : public nfs::Client {
public:
    struct Options {
        std::string export_path = "/";
        Travel travel = {};
        LostReply lost_reply = LostReply::fail;
        std::chrono::milliseconds jukebox_wait{1};
        std::string_view name = "first";  ///< Call::origin
        PipedPayload* piped = nullptr;    ///< data of READ comes in pipes of it
    };

    MemoryClient(core::Reactor& reactor, MemoryServer& server);
    MemoryClient(core::Reactor& reactor, MemoryServer& server, Options options);
    ~MemoryClient() override;

    Options& options() noexcept { return options_; }
    /// Calls that a correct caller never makes: order-dependent ones in flight together, payload
    /// that changed on its way, more bytes than the server takes. Empty unless there is a defect.
    const std::vector<std::string>& violations() const noexcept { return violations_; }
    std::size_t in_flight() const noexcept { return in_flight_.size(); }
    /// Most calls that were on their way at one time since the last forget_most().
    std::size_t most_in_flight() const noexcept { return most_in_flight_; }
    void forget_most() noexcept { most_in_flight_ = in_flight_.size(); }
    /// "READ #1003 0+4096 ..." of each call that waits.
    std::vector<std::string> waiting() const;
    /// Calls whose reply was Fault::Reply::ignored are sent again now.
    void resend_ignored() { resend_.notify_all(); }
    bool has_ignored() const noexcept { return resend_.has_waiters(); }

    const nfs::FileHandle& root() const override { return root_; }
    const nfs::FsInfo& fs_info() const override { return fs_info_; }
    core::Task<core::Result<nfs::Attr>> getattr(const nfs::CallContext&, const nfs::FileHandle&)
        override;
    core::Task<core::Result<nfs::Wcc>> setattr(
        const nfs::CallContext&,
        const nfs::OpenRef&,
        const nfs::SetAttr&,
        std::optional<nfs::Time> guard
    ) override;
    core::Task<core::Result<nfs::LookupReply>> lookup(
        const nfs::CallContext&, const nfs::FileHandle& dir, std::string_view name
    ) override;
    core::Task<core::Result<nfs::AccessReply>> access(
        const nfs::CallContext&, const nfs::FileHandle&, nfs::AccessBits wanted
    ) override;
    core::Task<core::Result<nfs::ReadlinkReply>>
    readlink(const nfs::CallContext&, const nfs::FileHandle&) override;
    core::Task<core::Result<nfs::OpenReply>> open(
        const nfs::CallContext&, const nfs::FileHandle&, nfs::AccessBits wanted
    ) override;
    core::Task<core::Result<void>> close(const nfs::CallContext&, const nfs::OpenRef&) override;
    core::Task<core::Result<nfs::ReadReply>> read(
        const nfs::CallContext&, const nfs::OpenRef&, std::uint64_t offset, std::uint32_t count
    ) override;
    core::Task<core::Result<nfs::WriteReply>> write(
        const nfs::CallContext&,
        const nfs::OpenRef&,
        std::uint64_t offset,
        std::span<const core::Slice> data,
        nfs::Stability
    ) override;
    core::Task<core::Result<nfs::CommitReply>> commit(
        const nfs::CallContext&, const nfs::OpenRef&, std::uint64_t offset, std::uint32_t count
    ) override;
    core::Task<core::Result<nfs::CreateReply>> create(
        const nfs::CallContext&,
        const nfs::FileHandle& dir,
        std::string_view name,
        nfs::CreateHow,
        const nfs::SetAttr& attributes,
        const nfs::Verifier& verifier
    ) override;
    core::Task<core::Result<nfs::CreateReply>> mkdir(
        const nfs::CallContext&,
        const nfs::FileHandle& dir,
        std::string_view name,
        const nfs::SetAttr& attributes
    ) override;
    core::Task<core::Result<nfs::CreateReply>> symlink(
        const nfs::CallContext&,
        const nfs::FileHandle& dir,
        std::string_view name,
        std::string_view target,
        const nfs::SetAttr& attributes
    ) override;
    core::Task<core::Result<nfs::CreateReply>> mknod(
        const nfs::CallContext&,
        const nfs::FileHandle& dir,
        std::string_view name,
        nfs::FileType type,
        std::uint32_t rdev_major,
        std::uint32_t rdev_minor,
        const nfs::SetAttr& attributes
    ) override;
    core::Task<core::Result<nfs::Wcc>> remove(
        const nfs::CallContext&, const nfs::FileHandle& dir, std::string_view name
    ) override;
    core::Task<core::Result<nfs::Wcc>> rmdir(
        const nfs::CallContext&, const nfs::FileHandle& dir, std::string_view name
    ) override;
    core::Task<core::Result<nfs::RenameReply>> rename(
        const nfs::CallContext&,
        const nfs::FileHandle& from_dir,
        std::string_view from_name,
        const nfs::FileHandle& to_dir,
        std::string_view to_name,
        std::optional<std::uint64_t> fileid
    ) override;
    core::Task<core::Result<nfs::LinkReply>> link(
        const nfs::CallContext&,
        const nfs::FileHandle& file,
        const nfs::FileHandle& dir,
        std::string_view name
    ) override;
    core::Task<core::Result<nfs::DirPage>> readdir(
        const nfs::CallContext&,
        const nfs::FileHandle& dir,
        const nfs::DirCursor& from,
        std::uint32_t max_bytes
    ) override;
    core::Task<core::Result<nfs::DirPage>> readdirplus(
        const nfs::CallContext&,
        const nfs::FileHandle& dir,
        const nfs::DirCursor& from,
        std::uint32_t max_bytes
    ) override;
    core::Task<core::Result<nfs::FsStatReply>>
    fsstat(const nfs::CallContext&, const nfs::FileHandle&) override;
    core::Task<core::Result<nfs::FsInfo>> fsinfo(const nfs::CallContext&, const nfs::FileHandle&)
        override;
    core::Task<core::Result<nfs::PathConf>>
    pathconf(const nfs::CallContext&, const nfs::FileHandle&) override;
    nfs::ClientStatus status() const override;
    void trim() override {}
    std::vector<std::byte> export_state() const override { return {}; }
    void suspend(core::Error why) override;
    void resume() override { is_suspended_ = false; }
    core::Task<void> shutdown(const nfs::CallContext&) override;

protected:
    MemoryServer& server() noexcept { return *server_; }

private:
    /// A call between its start and its reply.
    struct Flight {
        Call call;
        std::vector<std::byte> payload;  ///< WRITE, as it was when the call was made
        enum class Arrived : std::uint8_t { no, yes } arrived = Arrived::no;
    };
    void check_order(const Flight& flight);
    void violation(std::string text);
    /// The way there or back.
    core::Task<void> travel();
    /// Sends one call until it ends. `execute` asks the server; it runs once per time sent.
    template <class Body>
    core::Task<core::Result<Body>> perform(
        Call call,
        std::function<Reply<Body>(const Flight&, const Fault&)> execute,
        std::vector<std::byte> payload = {}
    );
    Call describe(
        Procedure procedure, const nfs::CallContext& context, const nfs::FileHandle& object
    );

    core::Reactor* reactor_;
    MemoryServer* server_;
    Options options_;
    nfs::FileHandle root_;
    nfs::FsInfo fs_info_;
    std::mt19937_64 random_;
    std::list<Flight> in_flight_;
    std::size_t most_in_flight_ = 0;
    std::vector<std::string> violations_;
    std::map<Procedure, std::uint64_t> calls_;
    core::Event resend_;
    enum class State : std::uint8_t { up, down } state_ = State::up;
    bool is_suspended_ = false;
    std::uint64_t suspensions_ = 0;  ///< a call that was under way during one has failed
    core::Error suspended_why_;
};

}  // namespace uidnfs::test
