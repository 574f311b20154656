// SPDX-License-Identifier: Apache-2.0
#include "fuse/scripted_filesystem.hpp"

#include <fmt/format.h>

#include <array>
#include <stdexcept>
#include <utility>

namespace uidnfs::test {
namespace {

constexpr std::uint32_t kSlotRegion = 1;

std::string by(const fs::Caller& caller) {
    return fmt::format("{}:{}", caller.uid.value(), caller.gid.value());
}

}  // namespace

void ScriptedFilesystem::make_slots(std::uint32_t bytes, std::uint64_t count) {
    const std::array regions{core::SlotPool::spec(kSlotRegion, bytes, count)};
    arena_.emplace(core::Arena::create(regions).value());
    slots_.emplace(*arena_, arena_->region(kSlotRegion));
}

void ScriptedFilesystem::note(std::string call) {
    if (start == Start::throws) throw std::runtime_error("scripted");
    if (on_call) on_call(call);
    calls.push_back(std::move(call));
}

core::Task<void> ScriptedFilesystem::pass(core::Task<core::Result<void>> work) { co_await work; }

core::Task<core::Result<void>> ScriptedFilesystem::list(
    core::Task<core::Result<void>> work, fs::DirSink sink
) {
    const auto result = co_await work;
    for (const auto& item : items) {
        if (!sink(item)) break;
    }
    co_return result;
}

core::Task<core::Result<fs::Entry>> ScriptedFilesystem::lookup(
    fs::Caller caller, fs::InodeId parent, std::string name
) {
    return perform(
        fmt::format("lookup {} {} by {} tid {}", parent, name, by(caller), caller.tid), &Self::entry
    );
}

void ScriptedFilesystem::forget(fs::InodeId id, std::uint64_t count) {
    note(fmt::format("forget {} {}", id, count));
}

core::Task<core::Result<fs::AttrReply>> ScriptedFilesystem::getattr(
    fs::Caller caller, fs::InodeId id
) {
    last_caller = caller;
    return perform(fmt::format("getattr {} by {}", id, by(caller)), &Self::attr);
}

core::Task<core::Result<fs::AttrReply>> ScriptedFilesystem::setattr(
    fs::Caller caller, fs::InodeId id, fs::SetAttrRequest request
) {
    change = request;
    return perform(fmt::format("setattr {} by {}", id, by(caller)), &Self::attr);
}

core::Task<core::Result<void>> ScriptedFilesystem::access(
    fs::Caller caller, fs::InodeId id, int mask
) {
    return perform(fmt::format("access {} {} by {}", id, mask, by(caller)), &Self::done);
}

core::Task<core::Result<std::string>> ScriptedFilesystem::readlink(
    fs::Caller caller, fs::InodeId id
) {
    return perform(fmt::format("readlink {} by {}", id, by(caller)), &Self::link_target);
}

core::Task<core::Result<fs::Entry>> ScriptedFilesystem::mknod(
    fs::Caller caller, fs::InodeId parent, std::string name, mode_t mode, dev_t rdev
) {
    return perform(
        fmt::format(
            "mknod {} {} {:o} {} by {} umask {:o}",
            parent,
            name,
            mode,
            rdev,
            by(caller),
            caller.umask
        ),
        &Self::entry
    );
}

core::Task<core::Result<fs::Entry>> ScriptedFilesystem::mkdir(
    fs::Caller caller, fs::InodeId parent, std::string name, mode_t mode
) {
    return perform(
        fmt::format(
            "mkdir {} {} {:o} by {} umask {:o}", parent, name, mode, by(caller), caller.umask
        ),
        &Self::entry
    );
}

core::Task<core::Result<fs::Entry>> ScriptedFilesystem::symlink(
    fs::Caller caller, fs::InodeId parent, std::string name, std::string target
) {
    return perform(
        fmt::format("symlink {} {} -> {} by {}", parent, name, target, by(caller)), &Self::entry
    );
}

core::Task<core::Result<void>> ScriptedFilesystem::unlink(
    fs::Caller caller, fs::InodeId parent, std::string name
) {
    return perform(fmt::format("unlink {} {} by {}", parent, name, by(caller)), &Self::done);
}

core::Task<core::Result<void>> ScriptedFilesystem::rmdir(
    fs::Caller caller, fs::InodeId parent, std::string name
) {
    return perform(fmt::format("rmdir {} {} by {}", parent, name, by(caller)), &Self::done);
}

core::Task<core::Result<void>> ScriptedFilesystem::rename(
    fs::Caller caller,
    fs::InodeId from_parent,
    std::string from_name,
    fs::InodeId to_parent,
    std::string to_name,
    fs::RenameMode mode
) {
    return perform(
        fmt::format(
            "rename {} {} to {} {} mode {} by {}",
            from_parent,
            from_name,
            to_parent,
            to_name,
            static_cast<int>(mode),
            by(caller)
        ),
        &Self::done
    );
}

core::Task<core::Result<fs::Entry>> ScriptedFilesystem::link(
    fs::Caller caller, fs::InodeId id, fs::InodeId new_parent, std::string new_name
) {
    return perform(
        fmt::format("link {} to {} {} by {}", id, new_parent, new_name, by(caller)), &Self::entry
    );
}

core::Task<core::Result<fs::OpenReply>> ScriptedFilesystem::open(
    fs::Caller caller, fs::InodeId id, int flags
) {
    return perform(fmt::format("open {} flags {:x} by {}", id, flags, by(caller)), &Self::opened);
}

core::Task<core::Result<fs::CreateReply>> ScriptedFilesystem::create(
    fs::Caller caller, fs::InodeId parent, std::string name, mode_t mode, int flags
) {
    return perform(
        fmt::format("create {} {} {:o} flags {:x} by {}", parent, name, mode, flags, by(caller)),
        &Self::created
    );
}

core::Task<core::Result<fs::ReadData>> ScriptedFilesystem::read(
    fs::OpenId open, std::uint64_t offset, std::size_t size
) {
    return perform(fmt::format("read {} {}+{}", open, offset, size), &Self::data);
}

core::Task<core::Result<std::size_t>> ScriptedFilesystem::write(
    fs::OpenId open,
    std::uint64_t offset,
    core::Slice bytes,
    fs::WriteOrigin origin,
    core::Progress,
    std::optional<int> flags
) {
    write_flags = flags;
    const auto* who = origin == fs::WriteOrigin::page_cache ? "page cache" : "application";
    auto text = fmt::format("write {} {}+{} by {}", open, offset, bytes.size(), who);
    payloads.push_back(std::move(bytes));
    return perform(std::move(text), &Self::written);
}

core::Task<core::Result<void>> ScriptedFilesystem::flush(fs::OpenId open) {
    return perform(fmt::format("flush {}", open), &Self::done);
}

core::Task<core::Result<void>> ScriptedFilesystem::fsync(fs::OpenId open) {
    return perform(fmt::format("fsync {}", open), &Self::done);
}

core::Task<void> ScriptedFilesystem::release(fs::OpenId open) {
    return pass(perform(fmt::format("release {}", open), &Self::done));
}

core::Task<core::Result<fs::OpenReply>> ScriptedFilesystem::opendir(
    fs::Caller caller, fs::InodeId id
) {
    return perform(fmt::format("opendir {} by {}", id, by(caller)), &Self::opened);
}

core::Task<core::Result<void>> ScriptedFilesystem::readdir(
    fs::OpenId open, std::uint64_t offset, fs::Listing listing, fs::DirSink sink
) {
    const auto* kind = listing == fs::Listing::plus ? "plus" : "names";
    auto work = perform(fmt::format("readdir {} from {} {}", open, offset, kind), &Self::done);
    return list(std::move(work), std::move(sink));
}

core::Task<core::Result<void>> ScriptedFilesystem::fsyncdir(fs::OpenId open) {
    return perform(fmt::format("fsyncdir {}", open), &Self::done);
}

void ScriptedFilesystem::releasedir(fs::OpenId open) { note(fmt::format("releasedir {}", open)); }

core::Task<core::Result<struct statvfs>> ScriptedFilesystem::statfs(
    fs::Caller caller, fs::InodeId id
) {
    return perform(fmt::format("statfs {} by {}", id, by(caller)), &Self::statistics);
}

}  // namespace uidnfs::test
