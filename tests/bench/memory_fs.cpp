// SPDX-License-Identifier: Apache-2.0
// F, what FUSE itself costs: a file system that answers every request at once from memory. It keeps
// names and sizes and no content: a file reads as load.cpp writes it, each 1 MiB beginning with its
// own offset. libfuse's low level, one thread, the mount options of uidnfs.
//     memory_fs MOUNTPOINT NAME:BYTES... NAME/COUNT:BYTES...
// The second is a directory with files f0, f1, ...
#define FUSE_USE_VERSION 34
#include <fuse3/fuse_lowlevel.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

constexpr std::uint64_t kBlock = 1 << 20;
constexpr double kValid = 3;  // seconds, as acregmin

struct Node {
    fuse_ino_t id = 0;
    mode_t mode = 0;
    std::uint64_t size = 0;
    std::map<std::string, Node*> names;
};

std::unordered_map<fuse_ino_t, std::unique_ptr<Node>> nodes;
fuse_ino_t last_id = 0;

Node& make(mode_t mode) {
    auto node = std::make_unique<Node>();
    node->id = ++last_id;
    node->mode = mode;
    auto& made = *node;
    nodes.emplace(made.id, std::move(node));
    return made;
}

void put_file(Node& directory, const std::string& name, std::uint64_t size) {
    auto& node = make(S_IFREG | 0666);
    node.size = size;
    directory.names[name] = &node;
}

// Nothing is ever freed while the kernel may ask for it: a run is short.
Node& at(fuse_ino_t id) { return *nodes.at(id); }

Node* find(fuse_ino_t parent, const char* name) {
    const auto& names = at(parent).names;
    const auto found = names.find(name);
    return found == names.end() ? nullptr : found->second;
}

struct stat attributes(const Node& node) {
    struct stat out {};
    out.st_ino = node.id;
    out.st_mode = node.mode;
    out.st_nlink = 1;
    out.st_size = static_cast<off_t>(node.size);
    out.st_blocks = static_cast<blkcnt_t>(node.size / 512);
    return out;
}

fuse_entry_param entry(const Node& node) {
    fuse_entry_param out{};
    out.ino = node.id;
    out.attr = attributes(node);
    out.attr_timeout = kValid;
    out.entry_timeout = kValid;
    return out;
}

void init(void*, fuse_conn_info* connection) {
    connection->want |=
        connection->capable & (FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
                               FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ATOMIC_O_TRUNC);
    connection->want &= ~(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ);
    connection->max_read = kBlock;
    connection->max_write = kBlock;
    connection->max_background = 64;
}

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
    const auto* node = find(parent, name);
    if (!node) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    const auto found = entry(*node);
    fuse_reply_entry(request, &found);
}

void getattr(fuse_req_t request, fuse_ino_t id, fuse_file_info*) {
    const auto out = attributes(at(id));
    fuse_reply_attr(request, &out, kValid);
}

void setattr(fuse_req_t request, fuse_ino_t id, struct stat* wanted, int what, fuse_file_info*) {
    auto& node = at(id);
    if (what & FUSE_SET_ATTR_SIZE) node.size = static_cast<std::uint64_t>(wanted->st_size);
    const auto out = attributes(node);
    fuse_reply_attr(request, &out, kValid);
}

void open(fuse_req_t request, fuse_ino_t id, fuse_file_info* info) {
    if (info->flags & O_TRUNC) at(id).size = 0;
    info->keep_cache = 1;
    fuse_reply_open(request, info);
}

void create(
    fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* info
) {
    auto* node = find(parent, name);
    if (!node) {
        node = &make(S_IFREG | (mode & 07777));
        at(parent).names[name] = node;
    } else if (info->flags & O_TRUNC) {
        node->size = 0;
    }
    const auto made = entry(*node);
    fuse_reply_create(request, &made, info);
}

void mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
    if (find(parent, name)) {
        fuse_reply_err(request, EEXIST);
        return;
    }
    auto& node = make(S_IFDIR | (mode & 07777));
    at(parent).names[name] = &node;
    const auto made = entry(node);
    fuse_reply_entry(request, &made);
}

void remove(fuse_req_t request, fuse_ino_t parent, const char* name) {
    fuse_reply_err(request, at(parent).names.erase(name) ? 0 : ENOENT);
}

void rename(
    fuse_req_t request,
    fuse_ino_t from,
    const char* name,
    fuse_ino_t to,
    const char* new_name,
    unsigned
) {
    auto* node = find(from, name);
    if (node) {
        at(from).names.erase(name);
        at(to).names[new_name] = node;
    }
    fuse_reply_err(request, node ? 0 : ENOENT);
}

void read(fuse_req_t request, fuse_ino_t id, std::size_t size, off_t offset, fuse_file_info*) {
    static std::vector<char> content(2 * kBlock, 'u');
    const auto begin = static_cast<std::uint64_t>(offset);
    const auto end = std::min(at(id).size, begin + std::min<std::size_t>(size, kBlock));
    if (begin >= end) {
        fuse_reply_buf(request, nullptr, 0);
        return;
    }
    // A read of at most one block meets at most one beginning, or part of one.
    const auto in_block = begin % kBlock;
    const auto stamp = [](std::uint64_t block, const char* value) {
        std::memcpy(content.data() + block, value, sizeof(std::uint64_t));
    };
    std::uint64_t here = begin - in_block;
    std::uint64_t next = here + kBlock;
    stamp(0, reinterpret_cast<const char*>(&here));
    stamp(kBlock, reinterpret_cast<const char*>(&next));
    fuse_reply_buf(request, content.data() + in_block, end - begin);
}

void write(
    fuse_req_t request,
    fuse_ino_t id,
    const char*,
    std::size_t size,
    off_t offset,
    fuse_file_info*
) {
    auto& node = at(id);
    node.size = std::max(node.size, static_cast<std::uint64_t>(offset) + size);
    fuse_reply_write(request, size);
}

void done(fuse_req_t request, fuse_ino_t, fuse_file_info*) { fuse_reply_err(request, 0); }

void fsync(fuse_req_t request, fuse_ino_t, int, fuse_file_info*) { fuse_reply_err(request, 0); }

void opendir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
    fuse_reply_open(request, info);
}

void list(fuse_req_t request, fuse_ino_t id, std::size_t size, off_t offset, bool is_plus) {
    std::vector<char> buffer(size);
    std::size_t used = 0;
    off_t place = 0;
    for (const auto& [name, node] : at(id).names) {
        if (place++ < offset) continue;
        const auto left = size - used;
        auto* out = buffer.data() + used;
        const auto found = entry(*node);
        const auto length =
            is_plus ? fuse_add_direntry_plus(request, out, left, name.c_str(), &found, place)
                    : fuse_add_direntry(request, out, left, name.c_str(), &found.attr, place);
        if (length > left) break;
        used += length;
    }
    fuse_reply_buf(request, buffer.data(), used);
}

void readdir(fuse_req_t request, fuse_ino_t id, std::size_t size, off_t offset, fuse_file_info*) {
    list(request, id, size, offset, false);
}

void readdirplus(
    fuse_req_t request, fuse_ino_t id, std::size_t size, off_t offset, fuse_file_info*
) {
    list(request, id, size, offset, true);
}

fuse_lowlevel_ops operations() {
    fuse_lowlevel_ops out{};
    out.init = init;
    out.lookup = lookup;
    out.getattr = getattr;
    out.setattr = setattr;
    out.open = open;
    out.create = create;
    out.mkdir = mkdir;
    out.unlink = remove;
    out.rmdir = remove;
    out.rename = rename;
    out.read = read;
    out.write = write;
    out.flush = done;
    out.release = done;
    out.fsync = fsync;
    out.opendir = opendir;
    out.readdir = readdir;
    out.readdirplus = readdirplus;
    out.releasedir = done;
    return out;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("usage: memory_fs MOUNTPOINT NAME:BYTES... NAME/COUNT:BYTES...\n", stderr);
        return 2;
    }
    auto& root = make(S_IFDIR | 0777);
    for (int i = 2; i < argc; ++i) {
        const std::string word = argv[i];
        const auto colon = word.rfind(':');
        const auto slash = word.find('/');
        const auto size = std::strtoull(word.c_str() + colon + 1, nullptr, 10);
        if (slash == std::string::npos) {
            put_file(root, word.substr(0, colon), size);
            continue;
        }
        auto& directory = make(S_IFDIR | 0777);
        root.names[word.substr(0, slash)] = &directory;
        const auto count = std::strtoul(word.c_str() + slash + 1, nullptr, 10);
        for (unsigned long number = 0; number < count; ++number) {
            put_file(directory, "f" + std::to_string(number), size);
        }
    }
    std::array<const char*, 3> options{"memory_fs", "-o", "allow_other,max_read=1048576,nosuid,nodev"};
    fuse_args arguments{
        static_cast<int>(options.size()), const_cast<char**>(options.data()), 0};
    const auto table = operations();
    auto* session = fuse_session_new(&arguments, &table, sizeof table, nullptr);
    if (!session) return 1;
    if (fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, argv[1]) != 0) return 1;
    const int result = fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
    return result < 0 ? 1 : 0;
}
