// SPDX-License-Identifier: Apache-2.0
// Procedures that take one object: attributes, data, the file system as a whole.
#include "support/memory_server.hpp"

#include <algorithm>

namespace uidnfs::test {
namespace {

constexpr std::uint32_t kRead = 4;
constexpr std::uint32_t kWrite = 2;
constexpr std::uint32_t kExecute = 1;

}  // namespace

Reply<nfs::Attr> MemoryServer::getattr(const Identity&, const Handle& object) {
    const std::lock_guard lock(mutex_);
    const auto* node = tree_.find_or_removed(object);
    if (!node) return {Status::stale};
    return {Status::ok, tree_.attr(*node)};
}

Reply<nfs::Wcc> MemoryServer::setattr(
    const Identity& caller,
    const Handle& object,
    const nfs::SetAttr& change,
    std::optional<nfs::Time> guard
) {
    const std::lock_guard lock(mutex_);
    const auto who = effective(caller);
    auto* node = tree_.find(object);
    if (!node) return {Status::stale};
    const auto before = wcc_attr(*node);
    auto status = guard && *guard != node->ctime ? Status::not_sync : Status::ok;
    if (status == Status::ok) status = check_change(*node, change, who);
    if (status == Status::ok) apply(*node, change, who);
    return {status, wcc(before, node)};
}

Reply<nfs::AccessReply> MemoryServer::access(
    const Identity& caller, const Handle& object, nfs::AccessBits wanted
) {
    const std::lock_guard lock(mutex_);
    const auto* node = tree_.find_or_removed(object);
    if (!node) return {Status::stale};
    const auto bits = tree_.permitted(*node, effective(caller));
    const bool writable = tree_.behaviour().mode == ExportMode::read_write;
    nfs::AccessBits granted = 0;
    if (bits & kRead) granted |= nfs::kAccessRead;
    if ((bits & kWrite) && writable) granted |= nfs::kAccessModify | nfs::kAccessExtend;
    if (node->is_directory()) {
        if (bits & kExecute) granted |= nfs::kAccessLookup;
        if ((bits & kWrite) && writable) granted |= nfs::kAccessDelete;
    } else if (bits & kExecute) {
        granted |= nfs::kAccessExecute;
    }
    return {Status::ok, {granted & wanted, shown(node)}};
}

Reply<nfs::ReadlinkReply> MemoryServer::readlink(const Identity&, const Handle& object) {
    const std::lock_guard lock(mutex_);
    const auto* node = tree_.find(object);
    if (!node) return {Status::stale};
    if (node->type != nfs::FileType::symlink) return {Status::inval, {{}, shown(node)}};
    return {Status::ok, {node->target, shown(node)}};
}

Reply<ReadBody> MemoryServer::read(
    const Identity& caller, const Handle& file, std::uint64_t offset, std::uint32_t count
) {
    const std::lock_guard lock(mutex_);
    const auto who = effective(caller);
    auto* node = tree_.find(file);
    if (!node) return {Status::stale};
    const auto refuse = [&](Status status) { return Reply<ReadBody>{status, {{}, {}, shown(node)}}; };
    if (node->type != nfs::FileType::regular) {
        return refuse(node->is_directory() ? Status::isdir : Status::inval);
    }
    // The owner, and whoever may execute, may read: an open file stays readable after chmod(2), and a
    // program of mode 0111 runs.
    const bool may = tree_.owns(*node, who) || (tree_.permitted(*node, who) & (kRead | kExecute));
    if (!may) return refuse(Status::acces);
    const auto& limits = tree_.behaviour();
    count = std::min(count, limits.read_max);
    if (limits.longest_read > 0) count = std::min(count, limits.longest_read);
    ReadBody body;
    body.data = node->content.read(offset, count);
    const bool at_end = offset + body.data.size() >= node->content.size() &&
                        limits.end_of_file == EndOfFile::told;
    body.end = at_end ? ReadBody::End::yes : ReadBody::End::no;
    if (node->atime <= node->mtime) node->atime = tree_.clock().now();  // relatime
    body.attr = shown(node);
    return {Status::ok, std::move(body)};
}

Reply<nfs::WriteReply> MemoryServer::write(
    const Identity& caller,
    const Handle& file,
    std::uint64_t offset,
    std::span<const std::byte> data,
    nfs::Stability stability
) {
    const std::lock_guard lock(mutex_);
    const auto who = effective(caller);
    auto* node = tree_.find(file);
    if (!node) return {Status::stale};
    const auto before = wcc_attr(*node);
    const auto& limits = tree_.behaviour();
    const auto check = [&] {
        if (limits.mode == ExportMode::read_only) return Status::rofs;
        if (node->type != nfs::FileType::regular) return Status::inval;
        const bool may = tree_.owns(*node, who) || (tree_.permitted(*node, who) & kWrite);
        if (!may) return Status::acces;
        if (offset > limits.max_file_size || data.size() > limits.max_file_size - offset) {
            return Status::fbig;
        }
        const bool is_limited = limits.capacity < Behaviour{}.capacity;
        if (is_limited && tree_.used_bytes() + data.size() > limits.capacity) return Status::nospc;
        return Status::ok;
    };
    if (const auto status = check(); status != Status::ok) {
        return {status, {0, stability, {}, wcc(before, node)}};
    }
    data = data.first(std::min<std::size_t>(data.size(), limits.write_max));
    if (limits.longest_write > 0) data = data.first(std::min<std::size_t>(data.size(), limits.longest_write));
    stability = std::max(stability, limits.least_stability);
    if (!data.empty()) {
        node->content.write(offset, data);
        const auto end = offset + data.size();
        if (stability == nfs::Stability::unstable) {
            node->uncommitted.add(offset, end);
        } else {
            node->disk.write(offset, data);
            node->uncommitted.remove(offset, end);
        }
        if (!tree_.is_trusted_root(who)) {
            node->mode &= ~04000u;
            if (node->mode & 010) node->mode &= ~02000u;
        }
        node->exclusive.reset();
        tree_.touch(*node, Touch::mtime_and_ctime);
    }
    const auto count = static_cast<std::uint32_t>(data.size());
    return {Status::ok, {count, stability, write_verifier_, wcc(before, node)}};
}

Reply<nfs::CommitReply> MemoryServer::commit(
    const Identity& caller, const Handle& file, std::uint64_t offset, std::uint32_t count
) {
    const std::lock_guard lock(mutex_);
    const auto who = effective(caller);
    auto* node = tree_.find(file);
    if (!node) return {Status::stale};
    const auto before = wcc_attr(*node);
    const auto refuse = [&](Status status) {
        return Reply<nfs::CommitReply>{status, {{}, wcc(before, node)}};
    };
    if (node->type != nfs::FileType::regular) return refuse(Status::inval);
    const bool may = tree_.owns(*node, who) || (tree_.permitted(*node, who) & kWrite);
    if (!may) return refuse(Status::acces);
    const auto end = count == 0 ? ~std::uint64_t{0} : offset + count;
    for (const auto& part : node->uncommitted.within(offset, end)) {
        node->disk.copy_range(node->content, part.begin, part.end);
        if (node->disk.size() < part.end) node->disk.resize(part.end);
    }
    node->uncommitted.remove(offset, end);
    return {Status::ok, {write_verifier_, wcc(before, node)}};
}

Reply<nfs::FsStatReply> MemoryServer::fsstat(const Identity&, const Handle& object) {
    const std::lock_guard lock(mutex_);
    const auto* node = tree_.find(object);
    if (!node) return {Status::stale};
    const auto capacity = tree_.behaviour().capacity;
    const auto free = capacity - std::min(capacity, tree_.used_bytes());
    constexpr std::uint64_t kFiles = 1'000'000;
    const auto free_files = kFiles - std::min(kFiles, tree_.files());
    nfs::FsStatReply body;
    body.stat = {capacity, free, free / 2, kFiles, free_files, free_files, 0};
    body.attr = shown(node);
    return {Status::ok, body};
}

Reply<nfs::FsInfo> MemoryServer::fsinfo(const Identity&, const Handle& object) {
    const std::lock_guard lock(mutex_);
    const auto* node = tree_.find(object);
    if (!node) return {Status::stale};
    const auto& limits = tree_.behaviour();
    nfs::FsInfo body;
    body.read_max = limits.read_max;
    body.read_preferred = limits.read_preferred;
    body.write_max = limits.write_max;
    body.write_preferred = limits.write_preferred;
    body.directory_preferred = limits.directory_preferred;
    body.max_file_size = limits.max_file_size;
    const auto tick = limits.tick.count();
    body.time_delta = {
        tick / 1'000'000'000, static_cast<std::uint32_t>(tick % 1'000'000'000)
    };
    return {Status::ok, body};
}

Reply<nfs::PathConf> MemoryServer::pathconf(const Identity&, const Handle& object) {
    const std::lock_guard lock(mutex_);
    if (!tree_.find(object)) return {Status::stale};
    nfs::PathConf body;
    body.link_max = tree_.behaviour().link_max;
    body.name_max = tree_.behaviour().name_max;
    return {Status::ok, body};
}

}  // namespace uidnfs::test
