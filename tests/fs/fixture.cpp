// SPDX-License-Identifier: Apache-2.0
#include "fs/fixture.hpp"

#include "core/log.hpp"
#include "fs/arena_check.hpp"
#include "support/heap_bytes.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace uidnfs::test {
namespace {

constexpr std::size_t kReadAtOnce = 128 << 10;
constexpr std::size_t kHeaderBytes = 80;  // what lies before the payload of a FUSE_WRITE
constexpr int kOpenFlags = O_CREAT;

core::Arena new_arena() {
    auto arena = core::Arena::create(fs::Filesystem::arena_regions());
    if (!arena) throw std::runtime_error("no arena: " + core::to_string(arena.error()));
    return std::move(*arena);
}

core::Arena copy_of(const core::Arena& arena) {
    struct stat st{};
    ::fstat(arena.fd(), &st);
    core::Fd copy(::memfd_create("arena-copy", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (::ftruncate(copy.get(), st.st_size) != 0) throw std::runtime_error("no room for an arena");
    std::vector<char> buffer(1 << 20);
    for (off_t at = ::lseek(arena.fd(), 0, SEEK_DATA); at >= 0;
         at = ::lseek(arena.fd(), at, SEEK_DATA)) {
        const auto end = ::lseek(arena.fd(), at, SEEK_HOLE);
        while (at < end) {
            const auto want = std::min<std::size_t>(buffer.size(), static_cast<std::size_t>(end - at));
            const auto got = ::pread(arena.fd(), buffer.data(), want, at);
            if (got <= 0 || ::pwrite(copy.get(), buffer.data(), static_cast<std::size_t>(got), at) != got) {
                throw std::runtime_error("cannot copy an arena");
            }
            at += got;
        }
    }
    ::fcntl(copy.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    auto attached = core::Arena::attach(std::move(copy), fs::Filesystem::arena_regions());
    if (!attached) throw std::runtime_error("no arena: " + core::to_string(attached.error()));
    return std::move(*attached);
}

[[noreturn]] void fail(std::string_view what, std::string_view path, const core::Error& error) {
    throw std::runtime_error(fmt::format("{} {}: {}", what, path, core::to_string(error)));
}

}  // namespace

Mount::Mount(World& world, fs::Options options, MemoryClient::Options client_options)
    : world_(&world),
      options_(std::move(options)),
      client_options_(std::move(client_options)),
      arena_(std::make_unique<core::Arena>(new_arena())) {
    caller.uid = mapper::ClientUid(kAppUid);
    caller.gid = mapper::ClientGid(kAppGid);
    caller.tid = 1;
    caller.umask = 022;
    world.explain_hangs([this] { return fmt::format("{}", fmt::join(client_->waiting(), "\n")); });
    start();
}

Mount::~Mount() = default;

void Mount::start() {
    client_ = std::make_unique<ReplayingClient>(world_->reactor, world_->server, client_options_);
    const auto root = client_->root();
    const auto attr = world_->server.getattr({kUid, kGid, {}}, root);
    fs_ = std::make_unique<fs::Filesystem>(
        fs::Filesystem::Deps{world_->reactor, *client_, *arena_, world_->clock, invalidator_},
        options_,
        attr.body
    );
}

void Mount::kill_and_restart() {
    auto next = estate();
    world_->run(shut_down());
    world_->serve_what_follows();
    start_next(std::move(next));
}

std::unique_ptr<core::Arena> Mount::estate() const {
    return std::make_unique<core::Arena>(copy_of(*arena_));
}

core::Task<void> Mount::shut_down() {
    const nfs::CallContext context{options_.credential};
    co_await client_->shutdown(context);
}

void Mount::start_next(std::unique_ptr<core::Arena> estate) {
    fs_.reset();
    arena_ = std::move(estate);
    if (const auto damage = fs::find_damage(*arena_, options_.root_identity)) {
        throw std::runtime_error("the next worker refuses the arena: " + *damage);
    }
    start();
    fs_->go_on();
}

core::Result<fs::Entry> Mount::lookup(fs::InodeId parent, std::string name) {
    return run(fs_->lookup(caller, parent, std::move(name)));
}

fs::InodeId Mount::walk(std::string_view path) {
    auto id = fs::kRootId;
    std::string_view rest = path;
    while (!rest.empty()) {
        rest.remove_prefix(1);  // '/'
        const auto name = rest.substr(0, rest.find('/'));
        rest.remove_prefix(name.size());
        if (name.empty()) continue;
        const auto entry = lookup(id, std::string(name));
        if (!entry) fail("lookup", path, entry.error());
        if (entry->id == 0) fail("lookup", path, core::Error(ENOENT));
        id = entry->id;
    }
    return id;
}

Mount::Place Mount::place_of(std::string_view path) {
    const auto slash = path.rfind('/');
    return {walk(path.substr(0, slash)), std::string(path.substr(slash + 1))};
}

bool Mount::exists(std::string_view path) {
    const auto place = place_of(path);
    const auto entry = lookup(place.parent, place.name);
    if (!entry && entry.error().code() != ENOENT) fail("lookup", path, entry.error());
    return entry && entry->id != 0;
}

struct stat Mount::stat_id(fs::InodeId id) {
    const auto reply = run(fs_->getattr(caller, id));
    if (!reply) fail("getattr", std::to_string(id), reply.error());
    return reply->stat;
}

struct stat Mount::stat_of(std::string_view path) { return stat_id(walk(path)); }

core::Result<File> Mount::try_create(std::string_view path, int flags, mode_t mode) {
    const auto place = place_of(path);
    const auto reply =
        run(fs_->create(caller, place.parent, place.name, S_IFREG | mode, flags | kOpenFlags));
    if (!reply) return reply.error();
    return File{reply->entry.id, reply->open.open, reply->open.pages, reply->open.caching};
}

File Mount::create_file(std::string_view path, int flags, mode_t mode) {
    const auto file = try_create(path, flags, mode);
    if (!file) fail("create", path, file.error());
    return *file;
}

core::Result<File> Mount::try_open(std::string_view path, int flags) {
    const auto id = walk(path);
    const auto reply = run(fs_->open(caller, id, flags));
    if (!reply) return reply.error();
    return File{id, reply->open, reply->pages, reply->caching};
}

File Mount::open_file(std::string_view path, int flags) {
    const auto file = try_open(path, flags);
    if (!file) fail("open", path, file.error());
    return *file;
}

core::Slice Mount::payload(std::string_view data) {
    auto* slot = fs_->slots().take();
    if (!slot) return HeapBytes::slice(data);
    if (data.size() + kHeaderBytes > fs_->slots().bytes()) {
        slot->retain();
        slot->release();
        return HeapBytes::slice(data);
    }
    std::memcpy(slot->data() + kHeaderBytes, data.data(), data.size());
    return core::Slice(*slot, slot->data() + kHeaderBytes, data.size());
}

core::Result<std::size_t> Mount::try_write(
    const File& file, std::uint64_t offset, std::string_view data, std::optional<int> flags
) {
    const auto origin = fs::WriteOrigin::application;
    return run(fs_->write(file.open, offset, payload(data), origin, {}, flags));
}

void Mount::write_at(
    const File& file, std::uint64_t offset, std::string_view data, std::optional<int> flags
) {
    const auto written = try_write(file, offset, data, flags);
    if (!written) fail("write", std::to_string(file.inode), written.error());
    if (*written != data.size()) throw std::runtime_error("a short write");
}

core::Result<std::string> Mount::try_read(
    const File& file, std::uint64_t offset, std::size_t size
) {
    const auto data = run(fs_->read(file.open, offset, size));
    if (!data) return data.error();
    std::string out;
    for (const auto& piece : data->pieces) {
        out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    }
    if (out.size() > size) throw std::runtime_error("more bytes read than asked for");
    return out;
}

std::string Mount::read_at(const File& file, std::uint64_t offset, std::size_t size) {
    const auto text = try_read(file, offset, size);
    if (!text) fail("read", std::to_string(file.inode), text.error());
    return *text;
}

std::string Mount::read_all(const File& file) {
    std::string out;
    for (;;) {
        const auto piece = read_at(file, out.size(), kReadAtOnce);
        out += piece;
        if (piece.size() < kReadAtOnce) return out;
    }
}

int Mount::flush_file(const File& file) { return errno_of(run(fs_->flush(file.open))); }

int Mount::fsync_file(const File& file) { return errno_of(run(fs_->fsync(file.open))); }

void Mount::release_file(const File& file) { world_->run(fs_->release(file.open)); }

int Mount::close_file(const File& file) {
    const auto code = flush_file(file);
    release_file(file);
    return code;
}

std::string Mount::content_of(std::string_view path) {
    const auto file = open_file(path, O_RDONLY);
    auto out = read_all(file);
    close_file(file);
    return out;
}

void Mount::make_file(std::string_view path, std::string_view content, mode_t mode) {
    const auto file = create_file(path, O_RDWR | O_TRUNC, mode);
    if (!content.empty()) write_at(file, 0, content);
    if (const int code = close_file(file)) fail("close", path, core::Error(code));
}

int Mount::make_dir(std::string_view path, mode_t mode) {
    const auto place = place_of(path);
    return errno_of(run(fs_->mkdir(caller, place.parent, place.name, S_IFDIR | mode)));
}

int Mount::remove_dir(std::string_view path) {
    const auto place = place_of(path);
    return errno_of(run(fs_->rmdir(caller, place.parent, place.name)));
}

int Mount::remove_file(std::string_view path) {
    const auto place = place_of(path);
    // The kernel looks a name up before it removes it.
    const auto entry = lookup(place.parent, place.name);
    if (!entry) return entry.error().code();
    if (entry->id == 0) return ENOENT;
    return errno_of(run(fs_->unlink(caller, place.parent, place.name)));
}

int Mount::rename_path(std::string_view from, std::string_view to, fs::RenameMode mode) {
    const auto source = place_of(from);
    const auto target = place_of(to);
    const auto source_entry = lookup(source.parent, source.name);
    if (!source_entry) return source_entry.error().code();
    if (source_entry->id == 0) return ENOENT;
    const auto target_entry = lookup(target.parent, target.name);
    if (!target_entry) return target_entry.error().code();
    return errno_of(run(
        fs_->rename(caller, source.parent, source.name, target.parent, target.name, mode)
    ));
}

int Mount::link_path(std::string_view existing, std::string_view name) {
    const auto id = walk(existing);
    const auto place = place_of(name);
    return errno_of(run(fs_->link(caller, id, place.parent, place.name)));
}

int Mount::symlink_path(std::string_view target, std::string_view name) {
    const auto place = place_of(name);
    return errno_of(run(fs_->symlink(caller, place.parent, place.name, std::string(target))));
}

int Mount::set_attributes(std::string_view path, fs::SetAttrRequest request) {
    return errno_of(run(fs_->setattr(caller, walk(path), request)));
}

int Mount::truncate_path(std::string_view path, std::uint64_t size) {
    fs::SetAttrRequest request;
    request.size = size;
    return set_attributes(path, request);
}

int Mount::truncate_open(const File& file, std::uint64_t size) {
    fs::SetAttrRequest request;
    request.size = size;
    request.open = file.open;
    return errno_of(run(fs_->setattr(caller, file.inode, request)));
}

int Mount::chmod_path(std::string_view path, mode_t mode) {
    fs::SetAttrRequest request;
    request.mode = mode;
    return set_attributes(path, request);
}

int Mount::chown_path(std::string_view path, std::uint32_t uid, std::uint32_t gid) {
    fs::SetAttrRequest request;
    request.uid = mapper::ClientUid(uid);
    request.gid = mapper::ClientGid(gid);
    return set_attributes(path, request);
}

int Mount::access_path(std::string_view path, int mask) {
    return errno_of(run(fs_->access(caller, walk(path), mask)));
}

std::vector<Listed> Mount::read_dir(
    fs::OpenId open, std::uint64_t offset, fs::Listing listing, std::size_t most
) {
    std::vector<Listed> out;
    const auto sink = [&](const fs::DirItem& item) {
        if (out.size() == most) return false;
        out.push_back(
            {std::string(item.name), item.fileid, item.type, item.next_offset, item.entry.id}
        );
        return true;
    };
    const auto done = run(fs_->readdir(open, offset, listing, sink));
    if (!done) fail("readdir at", std::to_string(offset), done.error());
    return out;
}

std::vector<Listed> Mount::list(
    std::string_view path, fs::Listing listing, std::size_t items_per_buffer
) {
    const auto opened = run(fs_->opendir(caller, walk(path)));
    if (!opened) fail("opendir", path, opened.error());
    std::vector<Listed> out;
    std::uint64_t offset = 0;
    for (;;) {
        const auto items = read_dir(opened->open, offset, listing, items_per_buffer);
        if (items.empty()) break;
        offset = items.back().next_offset;
        for (const auto& item : items) {
            if (item.name != "." && item.name != "..") out.push_back(item);
        }
    }
    fs_->releasedir(opened->open);
    return out;
}

std::vector<std::string> Mount::names(std::string_view path) {
    std::vector<std::string> out;
    for (const auto& item : list(path)) out.push_back(item.name);
    std::sort(out.begin(), out.end());
    return out;
}

void Mount::drain() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    const auto lost = run(fs_->drain(deadline));
    for (const auto& range : lost) {
        ADD_FAILURE() << "drain() gave up on " << range.path << " " << range.offset << "+"
                      << range.length;
    }
}

mapper::CredentialRef credential_of(
    std::uint32_t uid, std::uint32_t gid, std::vector<std::uint32_t> groups
) {
    mapper::Credential::Identity identity{mapper::ServerUid(uid), mapper::ServerGid(gid), {}};
    for (const auto group : groups) identity.groups.emplace_back(group);
    auto credential = mapper::Credential::make(identity, "test", mapper::RootIdentity::allowed);
    if (!credential) throw std::runtime_error(credential.error().user_text);
    return *credential;
}

fs::Options default_options() {
    const mapper::Presenter::Identity identity{
        mapper::ClientUid(kAppUid),
        mapper::ClientGid(kAppGid),
        mapper::ServerUid(kUid),
        mapper::ServerGid(kGid),
    };
    fs::Options options{
        .credential = credential_of(kUid, kGid),
        .presenter = mapper::Presenter(mapper::Presentation::all, identity),
        .gate = mapper::Gate(mapper::Access::app, mapper::ClientUid(kAppUid)),
    };
    options.mount_name = "/mnt";
    return options;
}

void FsTest::SetUp() { core::log::set_level(core::log::Level::off); }

void FsTest::TearDown() {
    server.forget_faults();
    for (auto& mount : mounts_) {
        mount->client().resend_ignored();
        mount->drain();
        world.serve_until([&] { return mount->client().in_flight() == 0; });
        world.serve_what_follows();
        for (const auto& violation : mount->client().violations()) ADD_FAILURE() << violation;
    }
    for (const auto& call : server.calls()) {
        const auto& expected = expected_uids;
        if (std::find(expected.begin(), expected.end(), call.who.uid) == expected.end()) {
            ADD_FAILURE() << "another identity on the wire: " << call.describe();
        }
    }
    mounts_.clear();
}

Mount& FsTest::add_mount(fs::Options with, MemoryClient::Options client_with) {
    mounts_.push_back(std::make_unique<Mount>(world, std::move(with), std::move(client_with)));
    return *mounts_.back();
}

Mount& FsTest::mount() {
    if (!first_) first_ = &add_mount(options, client_options);
    return *first_;
}

Mount& FsTest::second() {
    if (!second_) {
        auto other = client_options;
        other.name = "second";
        other.travel.seed += 1000;
        second_ = &add_mount(options, other);
    }
    return *second_;
}

std::size_t FsTest::count(Procedure procedure, std::string_view origin) const {
    return server.count([&](const Call& call) {
        return call.procedure == procedure && (origin.empty() || call.origin == origin);
    });
}

File FsTest::write_unstable(std::string_view path, std::size_t megabytes) {
    constexpr std::size_t kMegabyte = 1 << 20;
    auto& m = mount();
    const auto file = m.create_file(path);
    for (std::size_t i = 0; i < megabytes; ++i) {
        m.write_at(file, i * kMegabyte, std::string(kMegabyte, static_cast<char>('a' + i)));
    }
    world.serve_until([&] { return server.uncommitted_bytes() == megabytes * kMegabyte; });
    return file;
}

std::size_t FsTest::count_all() const {
    return server.count([](const Call&) { return true; });
}

}  // namespace uidnfs::test
