// SPDX-License-Identifier: Apache-2.0
// Notifier: tells the kernel what to forget, from a thread of its own. The kernel may keep that
// thread without end: inval_entry waits for the directory's lock, inval_inode for pages that a READ
// of ours holds. Owned by the worker's main; called on the reactor's thread.
#pragma once

#include "core/fd.hpp"
#include "core/reactor.hpp"
#include "core/task.hpp"
#include "fs/types.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace uidnfs::fuse {

struct NotifierStatus {
    std::uint64_t sent = 0;     ///< taken by the kernel, also those about what it did not hold
    std::uint64_t merged = 0;   ///< covered by one that was waiting
    std::uint64_t dropped = 0;  ///< the queue was full
    std::uint64_t queued = 0;
};

/// INVARIANT: at most `capacity` notifications wait. Those about one inode become one; names are
/// given up first when there are too many, for the kernel's copy of a name ends by itself
/// (entry_valid).
class Notifier final : public fs::Invalidator {
public:
    static constexpr std::size_t kCapacity = 8192;

    /// `device`: a duplicate of the session's /dev/fuse. libfuse is not asked to write, because a
    /// thread that is stuck in the kernel outlives the session.
    explicit Notifier(core::Fd device, std::size_t capacity = kCapacity);
    Notifier(const Notifier&) = delete;
    Notifier& operator=(const Notifier&) = delete;
    /// Waits a moment for the thread; one that is stuck is left behind, with what it uses, and ends
    /// with the process.
    ~Notifier() override;

    void inode(fs::InodeId id, std::int64_t offset, std::int64_t length) override;
    void entry(fs::InodeId parent, std::string_view name) override;
    void attributes(fs::InodeId id) override;
    void all_names() override;

    /// Pages of this inode are still to be dropped.
    bool is_pending(fs::InodeId id) const;
    /// Waits until they are, at most a second: a page may be held by a READ that nobody answers.
    /// Whoever tells the kernel of a file's new size waits for this first, or the kernel shows its
    /// old page up to the new size: zeros that nobody ever wrote.
    core::Task<void> pages_gone(core::Reactor& reactor, fs::InodeId id) const;

    enum class Stopped : std::uint8_t { ended, stuck };
    /// Gives up what is queued; nothing is sent afterwards. Waits at most `patience`.
    Stopped stop(std::chrono::milliseconds patience);

    /// From any thread.
    NotifierStatus status() const;

private:
    struct Shared;
    void run_if_needed();

    core::Fd device_;
    std::shared_ptr<Shared> shared_;
};

}  // namespace uidnfs::fuse
