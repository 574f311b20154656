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
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace uidnfs::fuse {
namespace {

constexpr auto kLastPatience = std::chrono::milliseconds(100);
constexpr auto kPagePatience = std::chrono::seconds(1);
/// Threads of one mount, each of which the kernel may keep.
constexpr std::size_t kMostThreads = 8;
constexpr std::size_t kStackBytes = 256 * 1024;
/// A thread that had nothing to do for this many times the patience ends, if there is another.
constexpr int kIdleTimes = 5;

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

/// Of each thread; `argument` is a std::shared_ptr<Shared> that is its own.
template <class Shared>
void* enter(void* argument) {
    const std::unique_ptr<std::shared_ptr<Shared>> shared(
        static_cast<std::shared_ptr<Shared>*>(argument)
    );
    (*shared)->run();
    return nullptr;
}

/// Of one that the reactor's thread starts: the first. Others are started by those that tell,
/// except where that was not possible.
template <class Shared>
void* enter_first(void* argument) {
    keep_only((*static_cast<std::shared_ptr<Shared>*>(argument))->device);
    return enter<Shared>(argument);
}

}  // namespace

struct Notifier::Shared : std::enable_shared_from_this<Notifier::Shared> {
    using Clock = std::chrono::steady_clock;
    enum class Phase : std::uint8_t { open, stopping };
    enum class What : std::uint8_t { inode, name };
    /// What a thread is in the kernel with.
    struct Telling {
        What what;
        fs::InodeId inode;  ///< the parent of a name, whose lock all its names wait for
        Clock::time_point since;
    };

    int device = -1;
    std::size_t capacity = 0;
    std::chrono::milliseconds patience{};

    mutable std::mutex mutex;  // guards all below; never held while the kernel is told
    std::condition_variable changed;
    Phase phase = Phase::open;
    std::size_t threads = 0;
    std::size_t waiting = 0;              // of them, for something to do
    std::vector<const Telling*> telling;  // by their beginning; has room for each thread
    // The order in which inodes were asked for, and how much of each; the same for names.
    std::deque<fs::InodeId> inode_order;
    std::unordered_map<fs::InodeId, Range> inodes;
    std::deque<Name> name_order;
    std::unordered_set<Name, HashName> names;
    NotifierStatus status;

    std::size_t size() const noexcept { return inode_order.size() + name_order.size(); }
    /// One that waits, or is about to look for something to do.
    bool has_spare_thread() const noexcept { return threads > telling.size(); }
    bool is_told(What what, fs::InodeId inode) const noexcept;
    void drop_oldest_name();
    std::optional<Notification> take();
    bool start(void* (*body)(void*));
    void tell(std::unique_lock<std::mutex>& lock, const Notification& what);
    bool wait(std::unique_lock<std::mutex>& lock);
    void run();
};

bool Notifier::Shared::is_told(What what, fs::InodeId inode) const noexcept {
    return std::any_of(telling.begin(), telling.end(), [&](const Telling* each) {
        return each->what == what && each->inode == inode;
    });
}

void Notifier::Shared::drop_oldest_name() {
    names.erase(name_order.front());
    name_order.pop_front();
    ++status.dropped;
}

/// The oldest that no thread would wait for another one with.
std::optional<Notification> Notifier::Shared::take() {
    const auto id = std::find_if(inode_order.begin(), inode_order.end(), [this](auto each) {
        return !is_told(What::inode, each);
    });
    if (id != inode_order.end()) {
        const auto range = inodes.extract(*id).mapped();
        Notification out{*id, range, std::nullopt};
        inode_order.erase(id);
        return out;
    }
    const auto found = std::find_if(name_order.begin(), name_order.end(), [this](const Name& each) {
        return !is_told(What::name, each.parent);
    });
    if (found == name_order.end()) return std::nullopt;
    auto name = std::move(*found);
    name_order.erase(found);
    names.erase(name);
    return Notification{name.parent, {}, std::move(name.name)};
}

/// REQUIRES: the mutex is held. Detached: nobody could join a thread that the kernel keeps.
bool Notifier::Shared::start(void* (*body)(void*)) {
    pthread_attr_t how;
    if (pthread_attr_init(&how) != 0) return false;
    (void)pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&how, kStackBytes);
    // Signals are the main thread's.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::unique_ptr<std::shared_ptr<Shared>> self(new (std::nothrow)
                                                      std::shared_ptr<Shared>(shared_from_this()));
    pthread_t thread;
    const bool is_started = self && pthread_create(&thread, &how, body, self.get()) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&how);
    if (!is_started) return false;
    (void)self.release();
    ++threads;
    return true;
}

void Notifier::Shared::tell(std::unique_lock<std::mutex>& lock, const Notification& what) {
    const auto kind = what.name ? What::name : What::inode;
    const Telling me{kind, what.inode, Clock::now()};
    telling.push_back(&me);
    // Somebody must be there to go on if this takes long. Its descriptors are those of this thread.
    if (!has_spare_thread() && threads < kMostThreads) (void)start(&enter<Shared>);
    lock.unlock();
    const auto sent = send(device, what);
    lock.lock();
    telling.erase(std::find(telling.begin(), telling.end(), &me));
    // Not logged: syslog(3) would open its socket anew, in this thread's table.
    if (sent == Sent::yes) ++status.sent;
}

/// For something to do. False: there are others for it, and there was nothing for long.
bool Notifier::Shared::wait(std::unique_lock<std::mutex>& lock) {
    ++waiting;
    bool is_needed = true;
    // Of those that are being told only the last can have begun within the patience.
    const auto until = telling.empty() ? Clock::time_point() : telling.back()->since + patience;
    if (until > Clock::now()) {
        changed.wait_until(lock, until);
    } else if (waiting == 1) {
        changed.wait(lock);
    } else {
        is_needed = changed.wait_for(lock, patience * kIdleTimes) == std::cv_status::no_timeout ||
                    waiting == 1;
    }
    --waiting;
    return is_needed;
}

void Notifier::Shared::run() {
    std::unique_lock lock(mutex);
    while (phase == Phase::open) {
        // One at a time, unless the kernel keeps it.
        const bool may_tell = telling.empty() || Clock::now() >= telling.back()->since + patience;
        const auto what = may_tell ? take() : std::nullopt;
        if (what) {
            tell(lock, *what);
        } else if (!wait(lock)) {
            break;
        }
    }
    --threads;
    changed.notify_all();
}

Notifier::Notifier(core::Fd device, std::size_t capacity, std::chrono::milliseconds patience)
    : device_(std::move(device)), shared_(std::make_shared<Shared>()) {
    shared_->device = device_.get();
    shared_->capacity = capacity;
    shared_->patience = patience;
    shared_->telling.reserve(kMostThreads);
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
        if (!s.name_order.empty()) {
            s.drop_oldest_name();
        } else if (range.begin == range.end) {
            ++s.status.dropped;
            return;
        }
    }
    s.inodes.emplace(id, range);
    s.inode_order.push_back(id);
    run_if_needed();
}

bool Notifier::is_pending(fs::InodeId id) const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->is_told(Shared::What::inode, id) || shared_->inodes.contains(id);
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
    auto& s = *shared_;
    if (s.has_spare_thread()) {
        s.changed.notify_all();
    } else if (s.threads < kMostThreads && !s.start(&enter_first<Shared>)) {
        core::log::warning("no thread for notifications, trying again later");
    }
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
    const auto ended = s.changed.wait_for(lock, patience, [&s] { return s.threads == 0; });
    return ended ? Stopped::ended : Stopped::stuck;
}

NotifierStatus Notifier::status() const {
    const std::lock_guard lock(shared_->mutex);
    auto status = shared_->status;
    status.queued = shared_->size();
    return status;
}

}  // namespace uidnfs::fuse
