// SPDX-License-Identifier: Apache-2.0
#include "fuse/notifier.hpp"

#include "core/log.hpp"
#include "fuse/libfuse.hpp"

#include <pthread.h>
#include <sched.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace uidnfs::fuse {
namespace {

constexpr auto kLastPatience = std::chrono::milliseconds(100);
constexpr auto kPagePatience = std::chrono::seconds(1);

/// Pages from `begin` to `end` of one inode; begin == end: attributes only.
struct Range {
    std::int64_t begin = 0;
    std::int64_t end = 0;
};
constexpr std::int64_t kEndOfFile = std::numeric_limits<std::int64_t>::max();

Range to_range(std::int64_t offset, std::int64_t length) noexcept {
    if (offset < 0) return {};
    if (length <= 0 || length > kEndOfFile - offset) return {offset, kEndOfFile};
    return {offset, offset + length};
}

Range unite(const Range& a, const Range& b) noexcept {
    if (a.begin == a.end) return b;
    if (b.begin == b.end) return a;
    return {std::min(a.begin, b.begin), std::max(a.end, b.end)};
}

struct Name {
    fs::InodeId parent;
    std::string name;
    bool operator==(const Name&) const = default;
};

struct HashName {
    std::size_t operator()(const Name& name) const noexcept {
        return std::hash<std::string>{}(name.name) ^ std::hash<fs::InodeId>{}(name.parent) * 31;
    }
};

struct Notification {
    fs::InodeId inode;  ///< the parent of a name
    Range range;
    std::optional<std::string> name;
};

enum class Sent { yes, no };

template <std::size_t N>
Sent send(int device, std::int32_t code, std::array<iovec, N> parts) {
    fuse_out_header header{};
    header.error = code;  // unique 0 marks a notification
    parts[0] = {&header, sizeof header};
    for (const auto& part : parts) header.len += static_cast<std::uint32_t>(part.iov_len);
    if (::writev(device, parts.data(), static_cast<int>(N)) >= 0) return Sent::yes;
    // ENOENT: the kernel does not hold it. ENODEV: the mount is gone.
    return errno == ENOENT || errno == ENODEV ? Sent::yes : Sent::no;
}

Sent send(int device, const Notification& what) {
    if (what.name) {
        fuse_notify_inval_entry_out out{};
        out.parent = what.inode;
        out.namelen = static_cast<std::uint32_t>(what.name->size());
        return send<3>(
            device,
            FUSE_NOTIFY_INVAL_ENTRY,
            {{{}, {&out, sizeof out}, {const_cast<char*>(what.name->c_str()), out.namelen + 1}}}
        );
    }
    fuse_notify_inval_inode_out out{};
    out.ino = what.inode;
    out.off = what.range.begin;
    out.len = what.range.end == kEndOfFile ? 0 : what.range.end - what.range.begin;
    if (what.range.begin == what.range.end) out.off = -1;
    return send<2>(device, FUSE_NOTIFY_INVAL_INODE, {{{}, {&out, sizeof out}}});
}

/// The calling thread keeps `device` and the standard files, in a table of its own. A process that is
/// killed while the kernel holds this thread closes everything else at once: its keeper sees that by
/// the end of their channel, and its connections are free.
void keep_only(int device) {
    if (device <= STDERR_FILENO || ::unshare(CLONE_FILES) != 0) return;
    const auto first = static_cast<unsigned>(STDERR_FILENO + 1);
    const auto kept = static_cast<unsigned>(device);
    if (kept > first) (void)::close_range(first, kept - 1, 0);
    (void)::close_range(kept + 1, ~0U, 0);
}

}  // namespace

struct Notifier::Shared {
    int device = -1;
    std::size_t capacity = 0;

    mutable std::mutex mutex;  // guards all below; never held while the kernel is told
    std::condition_variable changed;
    enum class Thread : std::uint8_t { none, running, ended } thread = Thread::none;
    enum class Phase : std::uint8_t { open, stopping } phase = Phase::open;
    // The order in which inodes were asked for, and how much of each; the same for names.
    std::deque<fs::InodeId> inode_order;
    std::unordered_map<fs::InodeId, Range> inodes;
    std::optional<fs::InodeId> being_told;
    std::deque<Name> name_order;
    std::unordered_set<Name, HashName> names;
    NotifierStatus status;

    std::size_t size() const noexcept { return inode_order.size() + name_order.size(); }
    void drop_oldest_name();
    std::optional<Notification> take();
    void run();
};

void Notifier::Shared::drop_oldest_name() {
    names.erase(name_order.front());
    name_order.pop_front();
    ++status.dropped;
}

std::optional<Notification> Notifier::Shared::take() {
    if (!inode_order.empty()) {
        const auto id = inode_order.front();
        inode_order.pop_front();
        const auto range = inodes.extract(id).mapped();
        return Notification{id, range, std::nullopt};
    }
    if (!name_order.empty()) {
        auto name = std::move(name_order.front());
        name_order.pop_front();
        names.erase(name);
        return Notification{name.parent, {}, std::move(name.name)};
    }
    return std::nullopt;
}

void Notifier::Shared::run() {
    keep_only(device);
    std::unique_lock lock(mutex);
    while (phase == Phase::open) {
        const auto what = take();
        if (!what) {
            changed.wait(lock);
            continue;
        }
        if (!what->name) being_told = what->inode;
        lock.unlock();
        const auto sent = send(device, *what);
        lock.lock();
        being_told.reset();
        // Not logged: syslog(3) would open its socket anew, in this thread's table.
        if (sent == Sent::yes) ++status.sent;
    }
    thread = Thread::ended;
    changed.notify_all();
}

Notifier::Notifier(core::Fd device, std::size_t capacity)
    : device_(std::move(device)), shared_(std::make_shared<Shared>()) {
    shared_->device = device_.get();
    shared_->capacity = capacity;
}

Notifier::~Notifier() {
    // A thread that is stuck goes on with its descriptor when the kernel lets it.
    if (stop(kLastPatience) == Stopped::stuck) (void)device_.release();
}

void Notifier::inode(fs::InodeId id, std::int64_t offset, std::int64_t length) {
    auto& s = *shared_;
    const std::lock_guard lock(s.mutex);
    if (s.phase == Shared::Phase::stopping) return;
    const auto range = to_range(offset, length);
    if (const auto found = s.inodes.find(id); found != s.inodes.end()) {
        found->second = unite(found->second, range);
        ++s.status.merged;
        return;
    }
    if (s.size() >= s.capacity) {
        if (s.name_order.empty()) {
            ++s.status.dropped;
            return;
        }
        s.drop_oldest_name();
    }
    s.inodes.emplace(id, range);
    s.inode_order.push_back(id);
    run_if_needed();
}

bool Notifier::is_pending(fs::InodeId id) const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->being_told == id || shared_->inodes.contains(id);
}

core::Task<void> Notifier::pages_gone(core::Reactor& reactor, fs::InodeId id) const {
    // The thread cannot wake us: the kernel may keep it longer than the reactor lives.
    const auto until = std::chrono::steady_clock::now() + kPagePatience;
    std::chrono::microseconds pause{50};
    while (is_pending(id) && std::chrono::steady_clock::now() < until) {
        auto sleep = reactor.sleep_for(pause);
        co_await sleep;
        pause = std::min(pause * 2, std::chrono::microseconds(10000));
    }
}

void Notifier::attributes(fs::InodeId id) { send(device_.get(), {id, {}, std::nullopt}); }

void Notifier::all_names() { send<1>(device_.get(), kNotifyIncEpoch, {}); }

void Notifier::entry(fs::InodeId parent, std::string_view name) {
    auto& s = *shared_;
    const std::lock_guard lock(s.mutex);
    if (s.phase == Shared::Phase::stopping) return;
    Name key{parent, std::string(name)};
    if (s.names.contains(key)) {
        ++s.status.merged;
        return;
    }
    if (s.size() >= s.capacity) {
        if (s.name_order.empty()) {
            ++s.status.dropped;
            return;
        }
        s.drop_oldest_name();
    }
    s.name_order.push_back(key);
    s.names.insert(std::move(key));
    run_if_needed();
}

/// REQUIRES: the mutex is held. A mount that never notifies has no thread.
void Notifier::run_if_needed() {
    if (shared_->thread != Shared::Thread::none) {
        shared_->changed.notify_all();
        return;
    }
    // Signals are the main thread's.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        // Detached from the start: nobody could join a thread that the kernel keeps.
        std::thread([shared = shared_] { shared->run(); }).detach();
        shared_->thread = Shared::Thread::running;
    } catch (const std::system_error& error) {
        core::log::warning("no thread for notifications, trying again later: {}", error.what());
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Notifier::Stopped Notifier::stop(std::chrono::milliseconds patience) {
    auto& s = *shared_;
    std::unique_lock lock(s.mutex);
    s.phase = Shared::Phase::stopping;
    s.inode_order.clear();
    s.inodes.clear();
    s.name_order.clear();
    s.names.clear();
    s.changed.notify_all();
    const auto ended =
        s.changed.wait_for(lock, patience, [&s] { return s.thread != Shared::Thread::running; });
    return ended ? Stopped::ended : Stopped::stuck;
}

NotifierStatus Notifier::status() const {
    const std::lock_guard lock(shared_->mutex);
    auto status = shared_->status;
    status.queued = shared_->size();
    return status;
}

}  // namespace uidnfs::fuse
