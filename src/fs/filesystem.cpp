// SPDX-License-Identifier: Apache-2.0
#include "fs/filesystem.hpp"

#include "core/log.hpp"
#include "fs/timed.hpp"

#include <cerrno>
#include <random>
#include <utility>

namespace uidnfs::fs {
namespace {

/// What the kernel's client shows at most (NFS3_MAXNAMLEN in its nfs3.h), whatever servers claim.
constexpr std::uint32_t kNameMax = 255;
/// Shown where the server does not say how much there is: 1 PiB, in blocks that 32 bits can count.
/// 0, which statfs(2) has for what is not known, reads "full" to programs that look before they
/// write; how many files, few look at.
constexpr std::uint64_t kUnknownBlock = 1u << 20;
constexpr std::uint64_t kUnknownBlocks = 1u << 30;

/// It answered, and neither that something is broken there (a handle, a disk) nor how full it is.
bool leaves_it_open(const core::Error& error) noexcept {
    if (error.code() == ENOTSUP) return true;  // as RPC, too: it does not have the procedure
    return error.source() == core::ErrorSource::nfs && error.code() != ESTALE &&
           error.code() != EIO;
}

std::uint64_t random_bits() {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
}

std::chrono::nanoseconds tick_of(const nfs::FsInfo& info) {
    const auto tick = std::chrono::seconds(info.time_delta.seconds) +
                      std::chrono::nanoseconds(info.time_delta.nanoseconds);
    return std::min<std::chrono::nanoseconds>(tick, std::chrono::seconds(1));
}

CounterRecords counters_of(const core::Arena& arena) {
    CounterRecords records(arena.region(kCounterRegion));
    if (records.high_water() == 0 || !records.is_valid(0)) records.insert({kRootId + 1, 1});
    return records;
}

}  // namespace

std::span<const core::RegionSpec> Filesystem::arena_regions() { return kRegions; }

Filesystem::Filesystem(Deps deps, Options options, const nfs::Attr& root)
    : deps_(deps),
      options_(std::move(options)),
      credentials_(options_.credential->machine_name(), options_.root_identity),
      slots_(deps.arena, deps.arena.region(kSlotRegion)),
      extent_records_(deps.arena.region(kExtentRegion)),
      cursor_records_(deps.arena.region(kCursorRegion)),
      cookie_records_(deps.arena.region(kCookieRegion)),
      silly_records_(deps.arena.region(kSillyRegion)),
      written_records_(deps.arena.region(kWrittenRegion)),
      counter_records_(counters_of(deps.arena)),
      ledger_(
          CredentialRecords(deps.arena.region(kCredentialRegion)),
          options_.credential,
          [this](std::size_t numbers) { return credentials_in_use(numbers); }
      ),
      removals_(deps.reactor),
      changing_names_(deps.reactor),
      inodes_(InodeRecords(deps.arena.region(kInodeRegion)), counter_records_),
      numbers_(root),
      ahead_(std::make_shared<ReadAhead::House>(deps.reactor, deps.client, deps.clock)),
      opens_(OpenRecords(deps.arena.region(kOpenRegion)), counter_records_),
      writer_(
          {deps.reactor,
           deps.client,
           deps.clock,
           slots_,
           inodes_,
           {extent_records_, deps.arena.region(kSlotRegion).base},
           written_records_,
           ledger_,
           [this](const InodeRef& inode, const nfs::Wcc& wcc) { finish_change(inode, wcc); },
           [this](const InodeRef& inode, const nfs::Attr& attr, AttrCache::Token asked) {
               learn(inode, attr, asked);
           },
           [this](const InodeRef& inode, std::uint64_t offset, std::uint64_t length) {
               on_lost(inode, offset, length);
           }},
          options_.write_behind
      ),
      page_watch_(
          {deps.reactor,
           deps.client,
           deps.clock,
           [this](nfs::CallContext context, InodeRef inode) {
               return fetch(std::move(context), std::move(inode));
           },
           [this](const InodeRef& inode) { on_foreign_change(inode); }}
      ),
      server_clock_(tick_of(deps.client.fs_info())),
      statfs_question_(deps.reactor, late_questions_),
      root_question_(deps.reactor, late_questions_),
      root_rights_question_(deps.reactor, late_questions_),
      boot_nonce_(random_bits()),
      owed_answered_(deps.reactor) {
    const auto inode = inodes_.add_root(deps.client.root(), root);
    learn(inode, root, AttrCache::token());
    ahead_->believed = options_.timers.file_min;
    ahead_->learn = [this](const InodeRef& read, const nfs::Attr& attr, AttrCache::Token asked) {
        learn(read, attr, asked);
    };
    ahead_->make_room = [this] {
        opens_.for_each([](const OpenFileRef& file) {
            if (file->ahead) file->ahead->drop_old();
        });
    };
    restore();
}

Filesystem::~Filesystem() {
    ahead_->learn = nullptr;
    ahead_->make_room = nullptr;
}

core::SlotPool& Filesystem::slots() noexcept { return slots_; }

core::Result<nfs::CallContext> Filesystem::context(const Caller& caller) {
    if (options_.identity == IdentityMode::fixed) {
        return nfs::CallContext{options_.credential, caller.progress};
    }
    if (caller.groups.size() > mapper::Credential::kMaxGroups) note_groups(caller);
    auto credential = credentials_.get(caller.uid, caller.gid, caller.groups);
    if (!credential) {
        refuse_root();
        return credential.error();
    }
    return nfs::CallContext{std::move(*credential), caller.progress};
}

nfs::CallContext Filesystem::context_for_mount(const Caller& caller) {
    if (options_.identity == IdentityMode::fixed) return {options_.credential};
    // Root asks how full it is, or for the root's attributes, although no call may go out as root.
    const auto credential = credentials_.get(caller.uid, caller.gid, caller.groups);
    return {credential ? *credential : options_.credential};
}

void Filesystem::refuse_root() {
    if (counts_.refused_callers++ > 0) return;
    core::log::warning(
        "root is refused on {}: identity=caller sends nobody's call as root; use another user, or "
        "allow_root_identity",
        options_.mount_name
    );
}

void Filesystem::note_groups(const Caller& caller) {
    if (std::exchange(groups_cut_, GroupsCut::told) == GroupsCut::told) return;
    core::log::warning(
        "uid {} is in {} groups, AUTH_SYS carries the first {}; a server that looks groups up by "
        "itself knows them all",
        caller.uid.value(),
        caller.groups.size(),
        mapper::Credential::kMaxGroups
    );
}

void Filesystem::refuse(const Caller& caller) {
    if (counts_.refused_callers++ > 0) return;
    core::log::warning(
        "uid {} refused on {}; use app_uid={} or access=any",
        caller.uid.value(),
        options_.mount_name,
        caller.uid.value()
    );
}

core::Result<InodeRef> Filesystem::enter(const Caller& caller, InodeId id) {
    if (!options_.gate.may_enter(caller.uid)) {
        refuse(caller);
        return core::Error(EACCES);
    }
    if (is_denied()) return core::Error(EACCES);
    auto inode = inodes_.find(id);
    if (!inode) return core::Error(ESTALE);
    return inode;
}

core::Result<Filesystem::Entrance> Filesystem::admit(
    const Caller& caller, InodeId id, Purpose purpose
) {
    auto inode = enter(caller, id);
    if (!inode) return inode.error();
    if (purpose == Purpose::change && options_.writable == Writable::no) {
        return core::Error(EROFS);
    }
    auto context = this->context(caller);
    if (!context) return context.error();
    return Entrance{*inode, std::move(*context), Kept(inodes_, *inode)};
}

TimerRange Filesystem::timers(nfs::FileType type) const noexcept {
    const auto& t = options_.timers;
    return type == nfs::FileType::directory ? TimerRange{t.dir_min, t.dir_max}
                                            : TimerRange{t.file_min, t.file_max};
}

void Filesystem::forget(InodeId id, std::uint64_t count) {
    if (id == kRootId) return;
    if (const auto inode = inodes_.find(id)) inodes_.remove_lookups(inode, count);
}

core::Task<core::Result<struct statvfs>> Filesystem::statfs(Caller caller, InodeId) {
    // Whoever can reach the path may ask how full it is, as with any file system.
    if (is_denied()) co_return core::Error(EACCES);
    const auto ctx = context_for_mount(caller);
    auto asking = statfs_question_.ask([&] { return ask_statfs(ctx); });
    const auto answer = co_await asking;
    if (last_statfs_) co_return *last_statfs_;
    const bool told = answer == PatientQuestion::Answer::came && statfs_error_;
    if (!told) co_return core::Error(ETIMEDOUT);
    if (!leaves_it_open(*statfs_error_)) co_return *statfs_error_;
    co_return room_unknown();
}

struct statvfs Filesystem::room_unknown() {
    // df, monitoring and whoever looks for room before it writes go on: what there really is no
    // room for, the server refuses.
    if (std::exchange(room_, Room::unknown) == Room::told) {
        core::log::warning(
            "the server does not say how full the share is ({}): df shows 1 PiB with nothing used",
            core::to_string(*statfs_error_)
        );
    }
    struct statvfs out {};
    out.f_bsize = kUnknownBlock;
    out.f_frsize = kUnknownBlock;
    out.f_blocks = kUnknownBlocks;
    out.f_bfree = kUnknownBlocks;
    out.f_bavail = kUnknownBlocks;
    out.f_namemax = name_max();
    return out;
}

std::uint32_t Filesystem::name_max() const noexcept {
    // 0: the server does not know.
    const auto told = path_conf_ ? path_conf_->name_max : 0;
    return told > 0 ? std::min(told, kNameMax) : kNameMax;
}

core::Task<void> Filesystem::ask_statfs(nfs::CallContext context) {
    const auto& root = deps_.client.root();
    if (!path_conf_) {
        if (auto conf = co_await deps_.client.pathconf(context, root)) path_conf_ = *conf;
    }
    const auto reply = co_await deps_.client.fsstat(context, root);
    if (!reply) {
        statfs_error_ = reply.error();
        co_return;
    }
    const auto& stat = reply->stat;
    struct statvfs out {};
    out.f_bsize = 4096;
    out.f_frsize = 4096;
    out.f_blocks = stat.total_bytes / out.f_frsize;
    out.f_bfree = stat.free_bytes / out.f_frsize;
    out.f_bavail = stat.available_bytes / out.f_frsize;
    out.f_files = stat.total_files;
    out.f_ffree = stat.free_files;
    out.f_favail = stat.available_files;
    out.f_namemax = name_max();
    last_statfs_ = out;
}

core::Task<void> Filesystem::warm() {
    auto asking = statfs_question_.ask([&] { return ask_statfs({options_.credential}); });
    co_await asking;
}

void Filesystem::change(const Options& wanted) {
    options_.timers = wanted.timers;
    ahead_->believed = options_.timers.file_min;
    options_.close_to_open = wanted.close_to_open;
    options_.lookup_cache = wanted.lookup_cache;
    options_.write_mode = wanted.write_mode;
    options_.commit_on = wanted.commit_on;
    options_.writable = wanted.writable;
}

FsStatus Filesystem::status() const {
    auto out = counts_;
    out.inodes = inodes_.size();
    out.open_files = opens_.size();
    out.bytes_not_committed = writer_.bytes_held();
    out.write_behind_budget = writer_.budget();
    out.write_errors = writer_.errors();
    out.small_files = writer_.sync_choice();
    out.read_ahead_hits = ahead_->hits;
    out.read_ahead_unused = ahead_->unused;
    out.read_ahead_bytes = ahead_->held;
    return out;
}

core::Task<std::vector<LostRange>> Filesystem::drain(core::SteadyTime deadline) {
    co_await all_paid(deadline);
    co_return co_await writer_.drain(deadline);
}

void Filesystem::trim() {
    make_room_for_names(nullptr);
    opens_.for_each([](const OpenFileRef& file) {
        if (file->ahead) file->ahead->drop();
    });
    writer_.trim();
    slots_.trim();
    inodes_.trim(deps_.arena);
    opens_.trim(deps_.arena);
    extent_records_.trim(deps_.arena);
    written_records_.trim(deps_.arena);
    cursor_records_.trim(deps_.arena);
    cookie_records_.trim(deps_.arena);
}

}  // namespace uidnfs::fs
