// SPDX-License-Identifier: Apache-2.0
// Procedures that look up and change names.
#include "support/memory_server.hpp"

namespace uidnfs::test {
namespace {

constexpr std::uint32_t kExecute = 1;

bool is_dots(std::string_view name) { return name == "." || name == ".."; }

}  // namespace

Reply<nfs::LookupReply> MemoryServer::lookup(
    const Identity& caller, const Handle& directory, Name name
) {
    const std::lock_guard lock(mutex_);
    auto* dir = tree_.find(directory);
    if (!dir) return {Status::stale};
    const auto refuse = [&](Status status) {
        return Reply<nfs::LookupReply>{status, {{}, {}, shown(dir)}};
    };
    if (!dir->is_directory()) return refuse(Status::notdir);
    if (!(tree_.permitted(*dir, effective(caller)) & kExecute)) return refuse(Status::acces);
    auto* found = dir;
    if (name == "..") {
        found = dir->parent;
    } else if (name != ".") {
        if (const auto status = check_name(name); status != Status::ok) return refuse(status);
        found = tree_.child(*dir, name);
    }
    if (!found) return refuse(Status::noent);
    return {Status::ok, {tree_.handle(*found), shown(found), shown(dir)}};
}

void MemoryServer::describe_created(nfs::CreateReply& body, Node& node) {
    if (decide(tree_.behaviour().created_handles) == Part::shown) body.handle = tree_.handle(node);
    body.attr = shown(&node);
}

Node& MemoryServer::make_child(
    Node& directory,
    Name name,
    nfs::FileType type,
    const nfs::SetAttr& attributes,
    std::uint32_t default_mode,
    const Identity& who
) {
    const bool inherits = (directory.mode & 02000) != 0;
    auto& node = tree_.make(type, default_mode, who.uid, inherits ? directory.gid : who.gid);
    apply(node, attributes, who);
    if (inherits && type == nfs::FileType::directory) node.mode |= 02000;
    tree_.attach(directory, name, node);
    return node;
}

Reply<nfs::CreateReply> MemoryServer::create(
    const Identity& caller,
    const Handle& directory,
    Name name,
    nfs::CreateHow how,
    const nfs::SetAttr& attributes,
    const nfs::Verifier& verifier
) {
    const std::lock_guard lock(mutex_);
    const auto who = effective(caller);
    auto* dir = tree_.find(directory);
    if (!dir) return {Status::stale};
    const auto before = wcc_attr(*dir);
    const auto answer = [&](Status status, Node* node) {
        Reply<nfs::CreateReply> reply{status};
        if (node) describe_created(reply.body, *node);
        reply.body.dir = wcc(before, dir);
        return reply;
    };
    if (!dir->is_directory()) return answer(Status::notdir, nullptr);
    if (how == nfs::CreateHow::exclusive && tree_.behaviour().exclusive_create == Support::no) {
        return answer(Status::notsupp, nullptr);
    }
    if (is_dots(name)) return answer(Status::exist, nullptr);
    if (const auto status = check_name(name); status != Status::ok) return answer(status, nullptr);

    if (auto* existing = tree_.child(*dir, name)) {
        if (!(tree_.permitted(*dir, who) & kExecute)) return answer(Status::acces, nullptr);
        if (how == nfs::CreateHow::exclusive) {
            const bool same = existing->exclusive && *existing->exclusive == verifier;
            return same ? answer(Status::ok, existing) : answer(Status::exist, nullptr);
        }
        const bool regular = existing->type == nfs::FileType::regular;
        if (how == nfs::CreateHow::guarded) return answer(Status::exist, nullptr);
        if (!regular) {
            const bool gives = tree_.behaviour().unchecked_create == UncheckedCreate::gives;
            return gives ? answer(Status::ok, existing) : answer(Status::exist, nullptr);
        }
        // Of an existing file UNCHECKED changes nothing but the size, as servers do.
        nfs::SetAttr change;
        change.size = attributes.size;
        if (!change.empty()) {
            const auto status = check_change(*existing, change, who);
            if (status != Status::ok) return answer(status, nullptr);
            apply(*existing, change, who);
        }
        return answer(Status::ok, existing);
    }
    if (const auto status = may_change_names(*dir, who); status != Status::ok) {
        return answer(status, nullptr);
    }
    if (how == nfs::CreateHow::exclusive) {
        auto& node = make_child(*dir, name, nfs::FileType::regular, {}, 0, who);
        // Where servers keep the verifier (RFC 1813 3.3.8): whoever forgets to set the times shows
        // it.
        node.exclusive = verifier;
        node.mtime = {0x1234, 0};
        node.atime = {0x5678, 0};
        return answer(Status::ok, &node);
    }
    return answer(
        Status::ok, &make_child(*dir, name, nfs::FileType::regular, attributes, 0644, who)
    );
}

Reply<nfs::CreateReply> MemoryServer::make_special(
    const Identity& caller,
    const Handle& directory,
    Name name,
    nfs::FileType type,
    const nfs::SetAttr& attributes,
    const std::function<void(Node&)>& complete
) {
    const std::lock_guard lock(mutex_);
    const auto who = effective(caller);
    auto* dir = tree_.find(directory);
    if (!dir) return {Status::stale};
    const auto before = wcc_attr(*dir);
    const auto check = [&] {
        if (!dir->is_directory()) return Status::notdir;
        if (is_dots(name)) return Status::exist;
        if (const auto status = check_name(name); status != Status::ok) return status;
        if (!(tree_.permitted(*dir, who) & kExecute)) return Status::acces;
        if (tree_.child(*dir, name)) return Status::exist;
        if (const auto status = may_change_names(*dir, who); status != Status::ok) return status;
        const bool device =
            type == nfs::FileType::block_device || type == nfs::FileType::character_device;
        return device && !tree_.is_trusted_root(who) ? Status::perm : Status::ok;
    };
    Reply<nfs::CreateReply> reply{check()};
    if (reply.status == Status::ok) {
        auto& node = make_child(*dir, name, type, attributes, 0755, who);
        complete(node);
        describe_created(reply.body, node);
    }
    reply.body.dir = wcc(before, dir);
    return reply;
}

Reply<nfs::CreateReply> MemoryServer::mkdir(
    const Identity& who, const Handle& directory, Name name, const nfs::SetAttr& attributes
) {
    return make_special(who, directory, name, nfs::FileType::directory, attributes, [](Node&) {});
}

Reply<nfs::CreateReply> MemoryServer::symlink(
    const Identity& who,
    const Handle& directory,
    Name name,
    std::string_view target,
    const nfs::SetAttr& attributes
) {
    auto kept = attributes;
    kept.mode = 0777;
    if (tree_.behaviour().link_times == Support::no) kept.atime = kept.mtime = {};
    return make_special(who, directory, name, nfs::FileType::symlink, kept, [&](Node& node) {
        node.target = target;
    });
}

Reply<nfs::CreateReply> MemoryServer::mknod(
    const Identity& who,
    const Handle& directory,
    Name name,
    nfs::FileType type,
    std::uint32_t rdev_major,
    std::uint32_t rdev_minor,
    const nfs::SetAttr& attributes
) {
    switch (type) {
        case nfs::FileType::regular:
        case nfs::FileType::directory:
        case nfs::FileType::symlink: return {Status::badtype};
        case nfs::FileType::block_device:
        case nfs::FileType::character_device:
        case nfs::FileType::socket:
        case nfs::FileType::fifo: break;
    }
    return make_special(who, directory, name, type, attributes, [&](Node& node) {
        node.rdev_major = rdev_major;
        node.rdev_minor = rdev_minor;
    });
}

Reply<nfs::Wcc> MemoryServer::remove_name(
    const Identity& caller, const Handle& directory, Name name, nfs::FileType wanted
) {
    const std::lock_guard lock(mutex_);
    const auto who = effective(caller);
    auto* dir = tree_.find(directory);
    if (!dir) return {Status::stale};
    const auto before = wcc_attr(*dir);
    const bool for_directory = wanted == nfs::FileType::directory;
    const auto remove = [&] {
        if (!dir->is_directory()) return Status::notdir;
        if (name == ".") return Status::inval;
        if (name == "..") return for_directory ? Status::notempty : Status::inval;
        if (const auto status = check_name(name); status != Status::ok) return status;
        if (!(tree_.permitted(*dir, who) & kExecute)) return Status::acces;
        auto* victim = tree_.child(*dir, name);
        if (!victim) return Status::noent;
        if (const auto status = may_delete(*dir, *victim, who); status != Status::ok) return status;
        if (victim->is_directory() != for_directory) {
            return for_directory ? Status::notdir : Status::isdir;
        }
        if (!victim->names.empty()) return Status::notempty;
        tree_.detach(*dir, name);
        tree_.bury(*victim);
        return Status::ok;
    };
    const auto status = remove();
    return {status, wcc(before, dir)};
}

Reply<nfs::Wcc> MemoryServer::remove(const Identity& who, const Handle& directory, Name name) {
    return remove_name(who, directory, name, nfs::FileType::regular);
}

Reply<nfs::Wcc> MemoryServer::rmdir(const Identity& who, const Handle& directory, Name name) {
    return remove_name(who, directory, name, nfs::FileType::directory);
}

Status MemoryServer::rename_checked(
    Node& from, Name from_name, Node& to, Name to_name, const Identity& who
) {
    if (!from.is_directory() || !to.is_directory()) return Status::notdir;
    if (is_dots(from_name) || is_dots(to_name)) return Status::inval;
    if (const auto status = check_name(from_name); status != Status::ok) return status;
    if (const auto status = check_name(to_name); status != Status::ok) return status;
    auto* moved = tree_.child(from, from_name);
    if (!moved) return Status::noent;
    auto* target = tree_.child(to, to_name);
    if (target == moved) return Status::ok;  // one file under two names: nothing happens
    if (const auto status = may_delete(from, *moved, who); status != Status::ok) return status;
    if (const auto status = may_change_names(to, who); status != Status::ok) return status;
    if (moved->is_directory()) {
        if (tree_.is_under(to, *moved)) return Status::inval;
        // Its ".." changes.
        if (&from != &to && !(tree_.permitted(*moved, who) & 2)) return Status::acces;
    }
    if (target) {
        if (const auto status = may_delete(to, *target, who); status != Status::ok) return status;
        if (target->is_directory() && !moved->is_directory()) return Status::isdir;
        if (!target->is_directory() && moved->is_directory()) return Status::notdir;
        if (!target->names.empty()) return Status::notempty;
        tree_.detach(to, to_name);
        tree_.bury(*target);
    }
    tree_.detach(from, from_name);
    tree_.attach(to, to_name, *moved);
    return Status::ok;
}

Reply<nfs::RenameReply> MemoryServer::rename(
    const Identity& caller,
    const Handle& from_directory,
    Name from_name,
    const Handle& to_directory,
    Name to_name
) {
    const std::lock_guard lock(mutex_);
    auto* from = tree_.find(from_directory);
    auto* to = tree_.find(to_directory);
    if (!from || !to) return {Status::stale};
    const auto from_before = wcc_attr(*from);
    const auto to_before = wcc_attr(*to);
    const auto status = rename_checked(*from, from_name, *to, to_name, effective(caller));
    return {status, {wcc(from_before, from), wcc(to_before, to)}};
}

Reply<nfs::LinkReply> MemoryServer::link(
    const Identity& caller, const Handle& file, const Handle& directory, Name name
) {
    const std::lock_guard lock(mutex_);
    const auto who = effective(caller);
    auto* node = tree_.find(file);
    auto* dir = tree_.find(directory);
    if (!node || !dir) return {Status::stale};
    const auto before = wcc_attr(*dir);
    const auto add = [&] {
        if (!dir->is_directory()) return Status::notdir;
        if (node->is_directory()) return Status::perm;
        if (is_dots(name)) return Status::exist;
        if (const auto status = check_name(name); status != Status::ok) return status;
        if (!(tree_.permitted(*dir, who) & kExecute)) return Status::acces;
        if (tree_.child(*dir, name)) return Status::exist;
        if (const auto status = may_change_names(*dir, who); status != Status::ok) return status;
        if (node->nlink >= tree_.behaviour().link_max) return Status::mlink;
        tree_.attach(*dir, name, *node);
        tree_.touch(*node, Touch::ctime);
        return Status::ok;
    };
    const auto status = add();
    return {status, {shown(node), wcc(before, dir)}};
}

}  // namespace uidnfs::test
