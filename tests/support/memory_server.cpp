// SPDX-License-Identifier: Apache-2.0
// Control, and what all procedures have in common: optional attributes, names, permissions.
#include "support/memory_server.hpp"

#include <algorithm>
#include <cstring>

namespace uidnfs::test {
namespace {

constexpr std::uint32_t kNobodyId = 65534;
constexpr std::uint32_t kWrite = 2;
constexpr std::uint32_t kExecute = 1;
constexpr std::uint32_t kSticky = 01000;

}  // namespace

MemoryServer::MemoryServer(Behaviour behaviour) : tree_(behaviour) { new_boot(); }

void MemoryServer::new_boot() {
    ++boots_;
    const auto seed = boots_ * 0x9e37'79b9'7f4a'7c15;
    std::memcpy(write_verifier_.data(), &seed, sizeof seed);
}

Fault MemoryServer::admit(const Call& call) {
    Fault fault;
    {
        const std::lock_guard lock(mutex_);
        fault = log_.admit(call);
    }
    if (fault.before) fault.before();
    return fault;
}

void MemoryServer::inject(Fault fault) {
    const std::lock_guard lock(mutex_);
    log_.add(std::move(fault));
}

void MemoryServer::forget_faults() {
    const std::lock_guard lock(mutex_);
    log_.forget_faults();
}

void MemoryServer::crash() {
    const std::lock_guard lock(mutex_);
    tree_.crash();
    new_boot();
}

void MemoryServer::change_verifier() {
    const std::lock_guard lock(mutex_);
    new_boot();
}

void MemoryServer::adjust(const std::function<void(Behaviour&)>& change) {
    const std::lock_guard lock(mutex_);
    change(tree_.behaviour());
    tree_.clock().set_tick(tree_.behaviour().tick);
}

void MemoryServer::with_clock(const std::function<void(ServerClock&)>& change) {
    const std::lock_guard lock(mutex_);
    change(tree_.clock());
}

std::vector<Call> MemoryServer::calls() const {
    const std::lock_guard lock(mutex_);
    return log_.calls();
}

std::size_t MemoryServer::count(Procedure procedure) const {
    return count([procedure](const Call& call) { return call.procedure == procedure; });
}

std::size_t MemoryServer::count(const std::function<bool(const Call&)>& matches) const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(
        std::count_if(log_.calls().begin(), log_.calls().end(), matches)
    );
}

void MemoryServer::clear_calls() {
    const std::lock_guard lock(mutex_);
    log_.clear();
}

std::optional<nfs::Attr> MemoryServer::post_op(const Handle& object) {
    const std::lock_guard lock(mutex_);
    return shown(tree_.find(object));
}

std::uint64_t MemoryServer::fileid_of(const Handle& object) {
    const std::lock_guard lock(mutex_);
    const auto* node = tree_.find(object);
    return node ? node->fileid : 0;
}

Identity MemoryServer::effective(const Identity& who) const {
    if (who.uid != 0 || tree_.behaviour().root == RootAccess::trusted) return who;
    return {kNobodyId, kNobodyId, {}};
}

MemoryServer::Part MemoryServer::decide(Presence presence) {
    switch (presence) {
        case Presence::always: return Part::shown;
        case Presence::never: return Part::hidden;
        case Presence::alternating: break;
    }
    return parts_++ % 2 == 0 ? Part::hidden : Part::shown;
}

std::optional<nfs::Attr> MemoryServer::shown(const Node* node) {
    if (!node || decide(tree_.behaviour().post_op_attrs) == Part::hidden) return std::nullopt;
    return tree_.attr(*node);
}

nfs::WccAttr MemoryServer::wcc_attr(const Node& node) const {
    const auto attr = tree_.attr(node);
    return {attr.size, attr.mtime, attr.ctime};
}

nfs::Wcc MemoryServer::wcc(const std::optional<nfs::WccAttr>& before, const Node* after) {
    nfs::Wcc out;
    if (before && decide(tree_.behaviour().pre_op_attrs) == Part::shown) out.before = before;
    out.after = shown(after);
    return out;
}

Status MemoryServer::check_name(Name name) const {
    if (name.empty() || name.find('/') != Name::npos || name.find('\0') != Name::npos) {
        return Status::inval;
    }
    return name.size() > tree_.behaviour().name_max ? Status::nametoolong : Status::ok;
}

Status MemoryServer::may_change_names(const Node& directory, const Identity& who) const {
    if (!directory.is_directory()) return Status::notdir;
    if (tree_.behaviour().mode == ExportMode::read_only) return Status::rofs;
    constexpr auto kBoth = kWrite | kExecute;
    return (tree_.permitted(directory, who) & kBoth) == kBoth ? Status::ok : Status::acces;
}

Status MemoryServer::may_delete(
    const Node& directory, const Node& victim, const Identity& who
) const {
    const auto status = may_change_names(directory, who);
    if (status != Status::ok) return status;
    if ((directory.mode & kSticky) == 0) return Status::ok;
    const bool allowed = tree_.owns(directory, who) || tree_.owns(victim, who);
    return allowed ? Status::ok : Status::perm;
}

Status MemoryServer::check_change(
    const Node& node, const nfs::SetAttr& change, const Identity& who
) const {
    using How = nfs::TimeChange::How;
    if (tree_.behaviour().mode == ExportMode::read_only) return Status::rofs;
    if (change.size && node.is_directory()) return Status::isdir;
    if (change.size && node.type != nfs::FileType::regular) return Status::inval;
    if (change.size && *change.size > tree_.behaviour().max_file_size) return Status::fbig;
    const bool owner = tree_.owns(node, who);
    const bool writer = owner || (tree_.permitted(node, who) & kWrite) != 0;
    if ((change.mode || change.uid || change.gid) && !owner) return Status::perm;
    if (!tree_.is_trusted_root(who)) {
        if (change.uid && change.uid->value() != node.uid) return Status::perm;
        const bool member = !change.gid || change.gid->value() == node.gid ||
                            Tree::is_member(change.gid->value(), who);
        if (!member) return Status::perm;
    }
    const auto needs = [&](How how) {
        return change.atime.how == how || change.mtime.how == how;
    };
    if (needs(How::client_time) && !owner) return Status::perm;
    if ((needs(How::server_time) || change.size) && !writer) return Status::acces;
    return Status::ok;
}

void MemoryServer::resize(Node& node, std::uint64_t size) {
    node.content.resize(size);
    node.disk.resize(size);
    node.uncommitted.remove(size, ~std::uint64_t{0});
}

void MemoryServer::apply(Node& node, const nfs::SetAttr& change, const Identity& who) {
    using How = nfs::TimeChange::How;
    if (change.empty()) return;
    tree_.touch(node, change.size ? Touch::mtime_and_ctime : Touch::ctime);
    if (change.size) resize(node, *change.size);
    if ((change.uid || change.gid) && !node.is_directory()) node.mode &= ~06000u;
    if (change.uid) node.uid = change.uid->value();
    if (change.gid) node.gid = change.gid->value();
    if (change.mode) {
        node.mode = *change.mode & 07777;
        if (!tree_.is_trusted_root(who) && !Tree::is_member(node.gid, who)) node.mode &= ~02000u;
    }
    const auto set = [&](nfs::Time& time, const nfs::TimeChange& to) {
        if (to.how == How::server_time) time = node.ctime;
        if (to.how == How::client_time) time = to.time;
    };
    set(node.atime, change.atime);
    set(node.mtime, change.mtime);
    node.exclusive.reset();
}

}  // namespace uidnfs::test
