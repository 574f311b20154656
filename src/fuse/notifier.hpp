// SPDX-License-Identifier: Apache-2.0
// Notifier: tells the kernel what to forget, from threads of its own. The kernel may keep a thread
// without end: inval_entry waits for the directory's lock, inval_inode for pages that a READ of
// ours holds. Then another one goes on with what concerns others. Owned by the worker's main;
// called on the reactor's thread.
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
    std::uint64_t dropped = 0;  ///< names, attributes: the queue was full
    std::uint64_t queued = 0;
};

/// INVARIANT: at most `capacity` names and mere attributes wait, and names are given up first: the
/// kernel's copies end by themselves (entry_valid, attr_valid). Pages do not, so they are never
/// given up; what waits for one inode becomes one, so they are as many as inodes at most. What is
/// told of one inode, and the names in one directory, are told one after the other.
class Notifier final : public fs::Invalidator {
public:
    static constexpr std::size_t kCapacity = 8192;
    static constexpr std::chrono::milliseconds kPatience{1000};

    /// `device`: a duplicate of the session's /dev/fuse. libfuse is not asked to write, because a
    /// thread that is stuck in the kernel outlives the session.
    /// One thread tells at a time, and another goes on when it has been kept for `patience`; at
    /// most eight. Idle mounts have one, and none before their first notification.
    explicit Notifier(
        core::Fd device,
        std::size_t capacity = kCapacity,
        std::chrono::milliseconds patience = kPatience
    );
    Notifier(const Notifier&) = delete;
    Notifier& operator=(const Notifier&) = delete;
    /// Waits a moment for the threads; one that is stuck is left behind, with what it uses, and
    /// ends with the process.
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
    core::Task<void> pages_gone(core::Reactor& reactor, fs::InodeId id) const override;

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
