// SPDX-License-Identifier: Apache-2.0
// Progress: how far one request got, kept where the next worker finds it. The kernel asks again
// what a worker that died had not answered; without this the second execution of a RENAME, an
// append or an exclusive create would not be known for one. Reactor's thread only.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

namespace uidnfs::core {

/// Lies in the arena. INVARIANT: a step is stored after what it speaks of, each in one store, so a
/// worker that dies in between leaves the step before.
struct ProgressRecord {
    enum Step : std::uint32_t {
        kPlanned = 1,  ///< `subject` is there
        kSent = 2,     ///< a call that counts twice may have reached the server
        kMade = 4,     ///< the server said that it made `made`
    };
    std::uint64_t subject;  ///< file id of what is moved, verifier of a create, place of an append
    std::uint64_t made;     ///< file id of what was created; 0: not known
    std::uint32_t steps;
    std::uint32_t reserved;
};

/// What this worker notes, and what the workers before it had noted when the request came again.
/// Without a record: nothing was, and nothing is kept.
class Progress {
public:
    Progress() = default;
    explicit Progress(ProgressRecord& record) noexcept : record_(&record), before_(record) {}

    /// A worker before this one may have had the server do it.
    bool was_sent() const noexcept { return (before_.steps & ProgressRecord::kSent) != 0; }
    std::optional<std::uint64_t> planned() const noexcept {
        if (!(before_.steps & ProgressRecord::kPlanned)) return std::nullopt;
        return before_.subject;
    }
    /// File id, or 0 where that is not known.
    std::optional<std::uint64_t> made() const noexcept {
        if (!(before_.steps & ProgressRecord::kMade)) return std::nullopt;
        return before_.made;
    }

    void plan(std::uint64_t subject) const noexcept {
        if (!record_) return;
        store(record_->subject, subject);
        note(ProgressRecord::kPlanned);
    }
    void note_sent() const noexcept { note(ProgressRecord::kSent); }
    void note_made(std::uint64_t what) const noexcept {
        if (!record_) return;
        store(record_->made, what);
        note(ProgressRecord::kMade);
    }

private:
    template <class V>
    static void store(V& place, V value) noexcept {
        std::atomic_ref<V>(place).store(value, std::memory_order_release);
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    void note(ProgressRecord::Step step) const noexcept {
        if (record_) store(record_->steps, record_->steps | step);
    }

    ProgressRecord* record_ = nullptr;
    ProgressRecord before_{};
};

}  // namespace uidnfs::core
