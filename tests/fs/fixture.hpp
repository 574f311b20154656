// SPDX-License-Identifier: Apache-2.0
// The fixture of the tests of file semantics: a server in memory and one or more mounts of it, each
// with its own Filesystem, asked as the kernel asks. Helpers throw (and so fail the test) where an
// error is not what the test is about; `errno_of` is for the others.
#pragma once

#include "core/arena.hpp"
#include "fs/filesystem.hpp"
#include "fs/replaying_client.hpp"
#include "support/world.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::test {

inline constexpr std::uint32_t kAppUid = 2000;
inline constexpr std::uint32_t kAppGid = 2000;

/// What a Filesystem told the kernel to forget.
class InvalidatorRecorder final : public fs::Invalidator {
public:
    struct Inode {
        fs::InodeId id;
        std::int64_t offset;
        std::int64_t length;
    };
    struct Entry {
        fs::InodeId parent;
        std::string name;
    };
    void inode(fs::InodeId id, std::int64_t offset, std::int64_t length) override {
        if (offset < 0) {
            attribute_ids.push_back(id);
        } else {
            inodes.push_back({id, offset, length});
        }
    }
    void entry(fs::InodeId parent, std::string_view name) override {
        entries.push_back({parent, std::string(name)});
    }
    void all_names() override { ++all_names_count; }
    core::Task<void> pages_gone(core::Reactor&, fs::InodeId id) const override {
        waited_for.push_back(id);
        co_return;
    }
    void clear() {
        inodes.clear();
        waited_for.clear();
        entries.clear();
        attribute_ids.clear();
        all_names_count = 0;
    }

    std::vector<Inode> inodes;  ///< pages
    mutable std::vector<fs::InodeId> waited_for;
    std::vector<fs::InodeId> attribute_ids;
    std::vector<Entry> entries;
    int all_names_count = 0;
};

/// An open file as a process has it.
struct File {
    fs::InodeId inode = 0;
    fs::OpenId open = 0;
    fs::Pages pages = fs::Pages::drop;
    fs::Caching caching = fs::Caching::pages;
};

/// A name as a listing shows it.
struct Listed {
    std::string name;
    std::uint64_t fileid = 0;
    mode_t type = 0;
    std::uint64_t next_offset = 0;
    fs::InodeId inode = 0;
};

/// One client of the server. Paths begin with '/' and are looked up name by name, as a kernel
/// without a dentry cache would.
class Mount {
public:
    Mount(World& world, fs::Options options, MemoryClient::Options client_options);
    ~Mount();

    fs::Filesystem& fs() noexcept { return *fs_; }
    MemoryClient& client() noexcept { return *client_; }
    core::Reactor& reactor() noexcept { return world_->reactor; }
    const core::Arena& arena() const noexcept { return *arena_; }
    InvalidatorRecorder& invalidated() noexcept { return invalidator_; }
    /// The process that asks.
    fs::Caller caller;

    template <class T>
    T run(core::Task<T> task) {
        return world_->run(std::move(task));
    }
    /// The worker is killed with whatever it had under way; another one finds its arena.
    void kill_and_restart();
    /// The same in two steps. A process that dies runs no destructors: what the next one finds is
    /// the arena as it is now. From the end of the shutdown on nothing reaches the server.
    std::unique_ptr<core::Arena> estate() const;
    core::Task<void> shut_down();
    /// REQUIRES: no operation of the dead worker is under way.
    void start_next(std::unique_ptr<core::Arena> estate);

    core::Result<fs::Entry> lookup(fs::InodeId parent, std::string name);
    /// Throws when the path does not exist.
    fs::InodeId walk(std::string_view path);
    bool exists(std::string_view path);
    struct stat stat_of(std::string_view path);
    struct stat stat_id(fs::InodeId id);

    /// O_CREAT of a new or old file; `flags` without O_CREAT.
    core::Result<File> try_create(std::string_view path, int flags = O_RDWR, mode_t mode = 0644);
    File create_file(std::string_view path, int flags = O_RDWR, mode_t mode = 0644);
    core::Result<File> try_open(std::string_view path, int flags = O_RDWR);
    File open_file(std::string_view path, int flags = O_RDWR);
    core::Result<std::size_t> try_write(
        const File& file,
        std::uint64_t offset,
        std::string_view data,
        std::optional<int> flags = {}
    );
    void write_at(
        const File& file,
        std::uint64_t offset,
        std::string_view data,
        std::optional<int> flags = {}
    );
    core::Result<std::string> try_read(const File& file, std::uint64_t offset, std::size_t size);
    std::string read_at(const File& file, std::uint64_t offset, std::size_t size);
    /// To the end of the file, in pieces as the kernel asks.
    std::string read_all(const File& file);
    /// 0 or an errno.
    int flush_file(const File& file);
    int fsync_file(const File& file);
    void release_file(const File& file);
    /// close(2) of the last descriptor: 0 or the errno of flush.
    int close_file(const File& file);
    /// open, read to the end, close.
    std::string content_of(std::string_view path);
    /// create, write, close; throws on any error.
    void make_file(std::string_view path, std::string_view content, mode_t mode = 0644);

    /// 0 or an errno, each.
    int make_dir(std::string_view path, mode_t mode = 0755);
    int remove_dir(std::string_view path);
    int remove_file(std::string_view path);
    int rename_path(
        std::string_view from, std::string_view to, fs::RenameMode mode = fs::RenameMode::replace
    );
    int link_path(std::string_view existing, std::string_view name);
    int symlink_path(std::string_view target, std::string_view name);
    int truncate_path(std::string_view path, std::uint64_t size);
    int truncate_open(const File& file, std::uint64_t size);
    int chmod_path(std::string_view path, mode_t mode);
    int chown_path(std::string_view path, std::uint32_t uid, std::uint32_t gid);
    int access_path(std::string_view path, int mask);
    int set_attributes(std::string_view path, fs::SetAttrRequest request);

    /// opendir, everything, closedir; without "." and "..".
    std::vector<Listed> list(
        std::string_view path,
        fs::Listing listing = fs::Listing::names,
        std::size_t items_per_buffer = 1000
    );
    /// Sorted.
    std::vector<std::string> names(std::string_view path);
    /// One getdents(2): at most `most` items from `offset`.
    std::vector<Listed> read_dir(
        fs::OpenId open, std::uint64_t offset, fs::Listing listing, std::size_t most
    );

    /// Payload as it lies in a request: in a slot if there is one.
    core::Slice payload(std::string_view data);
    /// Nothing is left unsent.
    void drain();

private:
    struct Place {
        fs::InodeId parent;
        std::string name;
    };
    /// Throws when the parent does not exist.
    Place place_of(std::string_view path);
    void start();

    World* world_;
    fs::Options options_;
    MemoryClient::Options client_options_;
    std::unique_ptr<ReplayingClient> client_;
    std::unique_ptr<core::Arena> arena_;
    InvalidatorRecorder invalidator_;
    std::unique_ptr<fs::Filesystem> fs_;
};

/// 0 for a good result.
template <class T>
int errno_of(const core::Result<T>& result) {
    return result ? 0 : result.error().code();
}

/// kUid:kGid, presented as the application's.
fs::Options default_options();
mapper::CredentialRef credential_of(
    std::uint32_t uid, std::uint32_t gid, std::vector<std::uint32_t> groups = {}
);

class FsTest : public ::testing::Test {
protected:
    explicit FsTest(Behaviour behaviour = {}) : world(behaviour), server(world.server) {}
    void SetUp() override;
    void TearDown() override;

    /// Made with `options` and `client_options` on first use.
    Mount& mount();
    /// A second client with options of its own.
    Mount& second();
    Mount& add_mount(fs::Options with, MemoryClient::Options client_with);

    /// Calls of one kind since the last clear_calls(), of one mount or of all.
    std::size_t count(Procedure procedure, std::string_view origin = "") const;
    std::size_t count_all() const;
    /// A new file of `megabytes` MiB, 'a' in the first and so on, in full calls: UNSTABLE, not yet
    /// committed. Open still.
    File write_unstable(std::string_view path, std::size_t megabytes);

    World world;
    MemoryServer& server;
    fs::Options options = default_options();
    MemoryClient::Options client_options;
    /// Identities that may appear on the wire.
    std::vector<std::uint32_t> expected_uids{kUid};

private:
    std::vector<std::unique_ptr<Mount>> mounts_;
    Mount* first_ = nullptr;
    Mount* second_ = nullptr;
};

}  // namespace uidnfs::test
