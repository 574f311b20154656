// SPDX-License-Identifier: Apache-2.0
// What somebody on the server itself does: paths instead of handles, no permission checks.
#include "support/memory_server.hpp"

#include <stdexcept>

namespace uidnfs::test {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text_of(const SparseBytes& bytes) {
    const auto all = bytes.read(0, bytes.size());
    return {reinterpret_cast<const char*>(all.data()), all.size()};
}

}  // namespace

Node* MemoryServer::find_path(std::string_view path) const {
    auto* node = &tree_.root();
    while (node && !path.empty()) {
        path.remove_prefix(1);  // '/'
        const auto name = path.substr(0, path.find('/'));
        path.remove_prefix(name.size());
        if (!name.empty()) node = tree_.child(*node, name);
    }
    return node;
}

Node& MemoryServer::at(std::string_view path) const {
    auto* node = find_path(path);
    if (!node) throw std::logic_error("the test server has no " + std::string(path));
    return *node;
}

std::pair<Node*, std::string> MemoryServer::parent_of(std::string_view path) const {
    const auto slash = path.rfind('/');
    return {&at(path.substr(0, slash)), std::string(path.substr(slash + 1))};
}

std::uint64_t MemoryServer::put_file(
    std::string_view path, std::string_view content, std::uint32_t mode
) {
    const std::lock_guard lock(mutex_);
    auto* node = find_path(path);
    if (!node) {
        const auto [directory, name] = parent_of(path);
        node = &tree_.make(nfs::FileType::regular, mode, kUid, kGid);
        tree_.attach(*directory, name, *node);
    }
    resize(*node, 0);
    node->content.write(0, bytes_of(content));
    node->disk.write(0, bytes_of(content));
    tree_.touch(*node, Touch::mtime_and_ctime);
    return node->fileid;
}

std::uint64_t MemoryServer::put_directory(std::string_view path, std::uint32_t mode) {
    const std::lock_guard lock(mutex_);
    const auto [directory, name] = parent_of(path);
    auto& node = tree_.make(nfs::FileType::directory, mode, kUid, kGid);
    tree_.attach(*directory, name, node);
    return node.fileid;
}

std::uint64_t MemoryServer::put_symlink(std::string_view path, std::string_view target) {
    const std::lock_guard lock(mutex_);
    const auto [directory, name] = parent_of(path);
    auto& node = tree_.make(nfs::FileType::symlink, 0777, kUid, kGid);
    node.target = target;
    tree_.attach(*directory, name, node);
    return node.fileid;
}

void MemoryServer::overwrite(
    std::string_view path, std::uint64_t offset, std::string_view bytes
) {
    const std::lock_guard lock(mutex_);
    auto& node = at(path);
    node.content.write(offset, bytes_of(bytes));
    node.disk.write(offset, bytes_of(bytes));
    node.uncommitted.remove(offset, offset + bytes.size());
    tree_.touch(node, Touch::mtime_and_ctime);
}

void MemoryServer::remove_path(std::string_view path) {
    const std::lock_guard lock(mutex_);
    const auto [directory, name] = parent_of(path);
    auto& node = at(path);
    tree_.detach(*directory, name);
    tree_.bury(node);
}

void MemoryServer::move_path(std::string_view from, std::string_view to) {
    const std::lock_guard lock(mutex_);
    const auto [from_directory, from_name] = parent_of(from);
    const auto [to_directory, to_name] = parent_of(to);
    auto& node = at(from);
    if (auto* target = tree_.child(*to_directory, to_name)) {
        tree_.detach(*to_directory, to_name);
        tree_.bury(*target);
    }
    tree_.detach(*from_directory, from_name);
    tree_.attach(*to_directory, to_name, node);
}

void MemoryServer::set_mode(std::string_view path, std::uint32_t mode) {
    const std::lock_guard lock(mutex_);
    auto& node = at(path);
    node.mode = mode & 07777;
    tree_.touch(node, Touch::ctime);
}

void MemoryServer::set_owner(std::string_view path, std::uint32_t uid, std::uint32_t gid) {
    const std::lock_guard lock(mutex_);
    auto& node = at(path);
    node.uid = uid;
    node.gid = gid;
    tree_.touch(node, Touch::ctime);
}

void MemoryServer::set_place(std::string_view path, std::uint64_t fsid, std::uint64_t fileid) {
    const std::lock_guard lock(mutex_);
    auto& node = at(path);
    node.shown_fsid = fsid;
    node.shown_fileid = fileid;
}

void MemoryServer::set_size(std::string_view path, std::uint64_t size) {
    const std::lock_guard lock(mutex_);
    auto& node = at(path);
    resize(node, size);
    tree_.touch(node, Touch::mtime_and_ctime);
}

MemoryServer::Handle MemoryServer::root() const {
    const std::lock_guard lock(mutex_);
    return tree_.handle(tree_.root());
}

bool MemoryServer::exists(std::string_view path) const {
    const std::lock_guard lock(mutex_);
    return find_path(path) != nullptr;
}

nfs::Attr MemoryServer::attr(std::string_view path) const {
    const std::lock_guard lock(mutex_);
    return tree_.attr(at(path));
}

MemoryServer::Handle MemoryServer::handle(std::string_view path) const {
    const std::lock_guard lock(mutex_);
    return tree_.handle(at(path));
}

std::string MemoryServer::content(std::string_view path) const {
    const std::lock_guard lock(mutex_);
    return text_of(at(path).content);
}

std::string MemoryServer::disk_content(std::string_view path) const {
    const std::lock_guard lock(mutex_);
    return text_of(at(path).disk);
}

std::uint64_t MemoryServer::uncommitted_bytes() const {
    const std::lock_guard lock(mutex_);
    return tree_.uncommitted_bytes();
}

std::vector<std::string> MemoryServer::names(std::string_view directory) const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> out;
    for (const auto& [name, slot] : at(directory).names) out.push_back(name);
    return out;
}

}  // namespace uidnfs::test
