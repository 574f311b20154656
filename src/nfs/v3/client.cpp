// SPDX-License-Identifier: Apache-2.0
// Client3: files, attributes, listings, and the client itself; names are in client_names.cpp.
#include "nfs/v3/client.hpp"

#include "core/log.hpp"
#include "nfs/mount3.hpp"
#include "nfs/v3/client_call.hpp"
#include "nfs/v3/client_state.hpp"

#include <algorithm>
#include <chrono>

namespace uidnfs::nfs::v3 {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kSmallestTransfer = 1024;
constexpr std::uint32_t kFallbackTransfer = 32768;  // for servers that say 0
constexpr std::uint32_t kSmallestListing = 4096;
constexpr std::uint32_t kPropertyLinks = 0x01;
constexpr std::uint32_t kPropertySymlinks = 0x02;
constexpr std::uint32_t kPropertyHomogeneous = 0x08;
constexpr std::uint32_t kPropertyCanSetTime = 0x10;

/// What a listing may take beside its entries: attributes, verifier, RPC header.
constexpr std::size_t kListingOverhead = 512;

struct Sizes {
    std::uint32_t max;
    std::uint32_t preferred;
};

std::uint32_t round_down(std::uint32_t bytes) noexcept {
    if (bytes >= 4096) return bytes / 4096 * 4096;
    return std::max(bytes / 1024 * 1024, kSmallestTransfer);
}

Sizes cut(std::uint32_t max, std::uint32_t preferred, std::uint32_t asked) noexcept {
    max = round_down(std::min(max ? max : kFallbackTransfer, kMaxTransfer));
    if (asked) max = std::min(max, round_down(asked));
    return {max, preferred ? std::min(max, round_down(preferred)) : max};
}

/// The C library takes ENOENT for the end of a directory: names would be missing without a word.
core::Result<DirPage> listed(core::Result<DirPage> page) {
    if (!page && page.error().code() == ENOENT) {
        return core::Error(EIO, page.error().source(), page.error().detail());
    }
    return page;
}

/// The rest of the loop's work comes first.
struct Hop {
    core::Reactor& reactor;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) { reactor.schedule(waiter); }
    void await_resume() const noexcept {}
};

std::uint64_t age_ms(core::SteadyTime since, core::SteadyTime now) {
    if (since >= now) return 0;
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now - since).count()
    );
}

}  // namespace

FsInfo to_fs_info(const WireFsInfo& wire, const TransferSizes& sizes) noexcept {
    const auto read = cut(wire.read_max, wire.read_preferred, sizes.rsize);
    const auto write = cut(wire.write_max, wire.write_preferred, sizes.wsize);
    FsInfo info;
    info.read_max = read.max;
    info.read_preferred = read.preferred;
    info.write_max = write.max;
    info.write_preferred = write.preferred;
    info.directory_preferred = std::clamp(wire.directory_preferred, kSmallestListing, kMaxTransfer);
    info.max_file_size = wire.max_file_size;
    info.time_delta = wire.time_delta;
    info.has_links = wire.properties & kPropertyLinks;
    info.has_symlinks = wire.properties & kPropertySymlinks;
    info.is_homogeneous = wire.properties & kPropertyHomogeneous;
    info.can_set_time = wire.properties & kPropertyCanSetTime;
    return info;
}

Client3::Client3(Deps deps)
    : transport_(std::move(deps.transport)),
      root_(deps.root),
      sizes_(deps.sizes),
      notice_(std::move(deps.notice)) {}

Client3::~Client3() = default;

void Client3::account(
    Procedure procedure, core::SteadyTime begun_at, const core::Error& error
) noexcept {
    auto& statistics = statistics_[static_cast<std::size_t>(procedure)];
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now() - begun_at
    );
    const auto us = static_cast<std::uint64_t>(took.count());
    ++statistics.calls;
    statistics.errors += error.code() != 0 ? 1 : 0;
    statistics.total_us += us;
    statistics.max_us = std::max(statistics.max_us, us);
    const auto end = std::lower_bound(kLatencyBoundsUs.begin(), kLatencyBoundsUs.end(), us);
    ++statistics.latency[static_cast<std::size_t>(end - kLatencyBoundsUs.begin())];
    if (error.source() != core::ErrorSource::protocol) return;
    if (const auto omitted = complaints_.may(std::chrono::steady_clock::now())) {
        core::tell_omitted(*omitted);
        const auto server = rpc::to_string(transport_->server());
        if (error.code() == ENAMETOOLONG) {
            core::log::warning(
                "{} has a name of more than {} bytes in a directory, which cannot be listed "
                "until it is renamed on the server",
                server,
                kMaxNameBytes
            );
            return;
        }
        core::log::warning(
            "{} answered {} with what NFSv3 does not allow", server, to_string(procedure)
        );
    }
}

core::Task<core::Result<void>> Client3::null(const CallContext& context) {
    return call<void>(
        context,
        {Procedure::null},
        [](Buffer) -> std::size_t { return 0; },
        [](const core::Slice&) -> core::Result<void> { return {}; }
    );
}

core::Task<core::Result<Attr>> Client3::getattr(
    const CallContext& context, const FileHandle& handle
) {
    return call<Attr>(
        context,
        {Procedure::getattr, refuse(handle)},
        [&handle](Buffer out) { return encode_handle(out, handle); },
        [](const core::Slice& results) { return decode_getattr(results.bytes()); }
    );
}

core::Task<core::Result<Wcc>> Client3::setattr(
    const CallContext& context,
    const OpenRef& file,
    const SetAttr& changes,
    std::optional<Time> guard
) {
    return call<Wcc>(
        context,
        {Procedure::setattr, refuse(file.handle), pinned_to(file.handle)},
        [&file, &changes, guard](Buffer out) {
            return encode_setattr(out, file.handle, changes, guard);
        },
        [](const core::Slice& results) { return decode_wcc(results.bytes()); }
    );
}

core::Task<core::Result<AccessReply>> Client3::access(
    const CallContext& context, const FileHandle& handle, AccessBits wanted
) {
    return call<AccessReply>(
        context,
        {Procedure::access, refuse(handle)},
        [&handle, wanted](Buffer out) { return encode_access(out, handle, wanted); },
        [](const core::Slice& results) { return decode_access(results.bytes()); }
    );
}

core::Task<core::Result<ReadlinkReply>> Client3::readlink(
    const CallContext& context, const FileHandle& handle
) {
    return call<ReadlinkReply>(
        context,
        {Procedure::readlink, refuse(handle)},
        [&handle](Buffer out) { return encode_handle(out, handle); },
        [](const core::Slice& results) { return decode_readlink(results.bytes()); }
    );
}

struct Client3::SideAccess {
    core::Result<AccessReply> reply = core::Error();
    enum class Stage : std::uint8_t { under_way, done } stage = Stage::under_way;
    std::coroutine_handle<> waiter;

    bool await_ready() const noexcept { return stage == Stage::done; }
    void await_suspend(std::coroutine_handle<> coroutine) noexcept { waiter = coroutine; }
    void await_resume() const noexcept {}
};

core::Task<void> Client3::run(
    SideAccess& side, const CallContext& context, const FileHandle& handle, AccessBits wanted
) {
    Shape shape{Procedure::access, refuse(handle)};
    shape.send = rpc::Send::gather;
    auto asking = call<AccessReply>(
        context,
        shape,
        [&handle, wanted](Buffer out) { return encode_access(out, handle, wanted); },
        [](const core::Slice& results) { return decode_access(results.bytes()); }
    );
    side.reply = co_await asking;
    side.stage = SideAccess::Stage::done;
    if (side.waiter) transport_->reactor().schedule(side.waiter);
}

core::Task<core::Result<OpenReply>> Client3::open(
    const CallContext& context, const FileHandle& handle, AccessBits wanted
) {
    SideAccess side;
    core::spawn(run(side, context, handle, wanted));
    auto asking = getattr(context, handle);
    const auto attr = co_await asking;
    co_await side;
    if (!attr) co_return attr.error();
    if (!side.reply) co_return side.reply.error();
    co_return OpenReply{OpenRef{handle}, *attr, side.reply->granted};
}

core::Task<core::Result<void>> Client3::close(const CallContext&, const OpenRef&) {
    co_return core::Result<void>();  // version 3 servers know nothing of open files
}

core::Task<core::Result<ReadReply>> Client3::read(
    const CallContext& context, const OpenRef& file, std::uint64_t offset, std::uint32_t count
) {
    return call<ReadReply>(
        context,
        {Procedure::read,
         count > kMaxTransfer ? EINVAL : refuse(file.handle),
         rpc::Route::any(),
         count},
        [&file, offset, count](Buffer out) {
            return encode_range(out, file.handle, offset, count);
        },
        [count](const core::Slice& results) { return decode_read(results, count); }
    );
}

core::Task<core::Result<WriteReply>> Client3::write(
    const CallContext& context,
    const OpenRef& file,
    std::uint64_t offset,
    std::span<const core::Slice> data,
    Stability stability
) {
    std::size_t bytes = 0;
    for (const auto& slice : data) bytes += slice.size();
    const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(bytes, kMaxTransfer));
    Shape shape{Procedure::write, bytes > kMaxTransfer ? EINVAL : refuse(file.handle)};
    shape.payload = data;
    return call<WriteReply>(
        context,
        shape,
        [&file, offset, count, stability](Buffer out) {
            return encode_write(out, file.handle, offset, count, stability);
        },
        [count](const core::Slice& results) { return decode_write(results.bytes(), count); }
    );
}

core::Task<core::Result<CommitReply>> Client3::commit(
    const CallContext& context, const OpenRef& file, std::uint64_t offset, std::uint32_t count
) {
    return call<CommitReply>(
        context,
        {Procedure::commit, refuse(file.handle)},
        [&file, offset, count](Buffer out) {
            return encode_range(out, file.handle, offset, count);
        },
        [](const core::Slice& results) { return decode_commit(results.bytes()); }
    );
}

core::Task<core::Result<DirPage>> Client3::readdir(
    const CallContext& context,
    const FileHandle& dir,
    const DirCursor& from,
    std::uint32_t max_bytes
) {
    const auto bytes = std::clamp(max_bytes, kSmallestListing, kMaxTransfer);
    Shape shape{Procedure::readdir, refuse(dir), rpc::Route::any(), bytes + kListingOverhead};
    shape.named = {&dir};
    auto listing = call<DirPage>(
        context,
        shape,
        [&dir, &from, bytes](Buffer out) { return encode_readdir(out, dir, from, bytes); },
        [&from](const core::Slice& results) { return decode_readdir(results.bytes(), from); }
    );
    co_return listed(co_await listing);
}

core::Task<core::Result<DirPage>> Client3::readdirplus(
    const CallContext& context,
    const FileHandle& dir,
    const DirCursor& from,
    std::uint32_t max_bytes
) {
    const auto bytes = std::clamp(max_bytes, kSmallestListing, kMaxTransfer);
    Shape shape{Procedure::readdirplus, refuse(dir), rpc::Route::any(), bytes + kListingOverhead};
    shape.named = {&dir};
    auto listing = call<DirPage>(
        context,
        shape,
        [&dir, &from, bytes](Buffer out) { return encode_readdirplus(out, dir, from, bytes); },
        [&from](const core::Slice& results) { return decode_readdirplus(results.bytes(), from); }
    );
    co_return listed(co_await listing);
}

core::Task<core::Result<FsStatReply>> Client3::fsstat(
    const CallContext& context, const FileHandle& handle
) {
    return call<FsStatReply>(
        context,
        {Procedure::fsstat, refuse(handle)},
        [&handle](Buffer out) { return encode_handle(out, handle); },
        [](const core::Slice& results) { return decode_fsstat(results.bytes()); }
    );
}

core::Task<core::Result<FsInfo>> Client3::fsinfo(
    const CallContext& context, const FileHandle& handle
) {
    return call<FsInfo>(
        context,
        {Procedure::fsinfo, refuse(handle)},
        [&handle](Buffer out) { return encode_handle(out, handle); },
        [sizes = sizes_](const core::Slice& results) -> core::Result<FsInfo> {
            const auto wire = decode_fsinfo(results.bytes());
            if (!wire) return wire.error();
            return to_fs_info(*wire, sizes);
        }
    );
}

core::Task<core::Result<PathConf>> Client3::pathconf(
    const CallContext& context, const FileHandle& handle
) {
    return call<PathConf>(
        context,
        {Procedure::pathconf, refuse(handle)},
        [&handle](Buffer out) { return encode_handle(out, handle); },
        [](const core::Slice& results) { return decode_pathconf(results.bytes()); }
    );
}

ClientStatus Client3::status() const {
    const auto now = std::chrono::steady_clock::now();
    const auto& traffic = transport_->traffic();
    ClientStatus status;
    status.server_address = rpc::to_string(transport_->server());
    auto oldest = core::SteadyTime::max();
    auto heard_at = core::SteadyTime::min();
    for (const auto& connection : transport_->connections()) {
        if (connection->is_up()) {
            status.link = ClientStatus::Link::up;
            status.local_ports.push_back(connection->local_port());
        }
        status.calls_in_flight += connection->unanswered();
        oldest = std::min(oldest, connection->oldest_call());
        heard_at = std::max(heard_at, connection->heard_at());
    }
    status.oldest_call_age_ms = age_ms(oldest, now);
    status.last_reply_age_ms = age_ms(heard_at, now);
    status.reconnects = traffic.reconnects;
    status.retransmits = traffic.retransmits;
    status.bytes_sent = traffic.bytes_sent;
    status.bytes_received = traffic.bytes_received;
    for (std::size_t i = 0; i < statistics_.size(); ++i) {
        const auto& s = statistics_[i];
        if (s.calls == 0) continue;
        status.procedures.push_back(
            {std::string(to_string(static_cast<Procedure>(i))),
             s.calls,
             s.errors,
             s.total_us,
             s.max_us,
             s.latency}
        );
    }
    return status;
}

void Client3::trim() { transport_->trim(); }

std::vector<std::byte> Client3::export_state() const {
    ClientState state{transport_->server(), notice_.mount_service, root_, fs_info_, root_attr_, {}};
    for (const auto& connection : transport_->connections()) {
        state.ports.push_back(connection->local_port());
    }
    return encode(state);
}

core::Task<void> Client3::shutdown(const CallContext& context) {
    transport_->close(core::Error(ECONNABORTED));
    Hop hop{transport_->reactor()};
    for (int hops = 0; transport_->is_busy() && hops < 1000; ++hops) co_await hop;
    if (notice_.mount_service.port() != 0) {
        rpc::TransportOptions options;
        options.server_name = notice_.server_name;
        options.connection.server = notice_.mount_service;
        options.connection.source = notice_.source_port;
        options.connection.persistence = rpc::ConnectionOptions::Persistence::once;
        options.connection.patience = {rpc::GiveUp::with_etimedout, 1s, 0};
        options.port_notice = rpc::PortNotice::given;  // by the mount, if it was to be said
        options.on_connection = notice_.on_connection;
        rpc::Transport transport(transport_->reactor(), options);
        auto telling = mount3::unmount(transport, *context.credential, notice_.export_path);
        const auto told = co_await telling;
        if (!told) core::log::debug("UMNT: {}", core::to_string(told.error()));
    }
    co_await hop;  // not from inside what the answer came through
}

}  // namespace uidnfs::nfs::v3
