// SPDX-License-Identifier: Apache-2.0
// Writer: carries out what the ExtentMaps decide: WRITEs while the application goes on, COMMITs,
// the budget of a mount, and what is left at the end. Owned by Filesystem; reactor's thread only.
#pragma once

#include "core/event.hpp"
#include "core/seldom.hpp"
#include "fs/credential_ledger.hpp"
#include "fs/inode.hpp"
#include "fs/inode_table.hpp"
#include "fs/options.hpp"
#include "fs/sync_choice.hpp"
#include "fs/write_log.hpp"
#include "nfs/client.hpp"

#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

namespace uidnfs::fs {

class Writer {
public:
    struct Deps {
        core::Reactor& reactor;
        nfs::Client& client;
        const core::Clock& clock;
        core::SlotPool& slots;
        InodeTable& inodes;
        ExtentJournal journal;
        WrittenRecords& written;
        CredentialLedger& credentials;
        /// Brackets a WRITE: its wcc data belong into the attribute cache.
        std::function<void(const InodeRef&, const nfs::Wcc&)> finish_change;
        std::function<void(const InodeRef&, const nfs::Attr&, AttrCache::Token)> learn;
        /// Bytes that were acknowledged will never be on the server (`length` 0: to the end).
        std::function<void(const InodeRef&, std::uint64_t offset, std::uint64_t length)> lost;
    };

    Writer(Deps deps, std::uint64_t budget);
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    ~Writer() { *self_ = nullptr; }

    /// Takes the bytes; waits only while the budget is used up (page write-back never waits).
    core::Task<core::Result<void>> put(
        InodeRef inode,
        WriteContext context,
        std::uint64_t offset,
        core::Slice data,
        WriteOrigin origin
    );
    /// Starts what should be on its way by now.
    void kick(const InodeRef& inode, std::uint64_t offset);

    enum class Reach : std::uint8_t {
        server,  ///< other clients see it
        disk,    ///< a restart of the server does not lose it
    };
    /// Everything put in before now got there, or its error is in inode->write_error.
    core::Task<void> flush(InodeRef inode, Reach reach, nfs::Stability stability);
    /// Nothing more is sent until as many resume().
    void pause(const InodeRef& inode) { ++state_of(*inode).holds; }
    /// pause(), and everything in flight is answered.
    core::Task<void> hold(InodeRef inode);
    void resume(const InodeRef& inode);
    /// Forgets bytes at and beyond `size` that were put in before `cut`.
    void truncate(const InodeRef& inode, std::uint64_t size, ExtentMap::Moment cut);
    /// The file is gone: forgets all of it.
    void forget(const InodeRef& inode) {
        if (inode->file) truncate(inode, 0, inode->file->extents.mark());
    }
    /// Somebody else changed the file. Until its bytes that are held by then are on the disk only
    /// the server knows what it contains.
    void note_overtaken(Inode& inode);
    /// Waits for that, if it is so: what is held afterwards may be shown.
    core::Task<void> catch_up(InodeRef inode);

    core::Task<std::vector<LostRange>> drain(core::SteadyTime deadline);
    /// Everything not yet durable is given up, and returned; each of those files has the error `why`.
    /// put() takes nothing until accept(). REQUIRES: the client sends nothing any more.
    core::Task<std::vector<LostRange>> give_up(core::Error why);
    void accept() noexcept { refusal_.reset(); }

    FileState& state_of(Inode& inode);
    /// Adopts an extent, or a cut, of a worker that died. REQUIRES: those of an inode come in their
    /// order.
    void restore(const InodeRef& inode, std::uint32_t record);
    /// Adopts what was kept of the file besides.
    void restore_written(const InodeRef& inode, std::uint32_t record);
    /// The server said how the file is: whoever must write bytes back by hand compares with it.
    void note_attributes(const Inode& inode);

    std::uint64_t budget() const noexcept { return budget_bytes_; }
    /// What is acknowledged beyond a smaller one stays so; more waits until there is room.
    void set_budget(std::uint64_t bytes);
    std::uint64_t bytes_held() const noexcept;
    std::uint64_t errors() const noexcept { return errors_; }
    const SyncChoice& sync_choice() const noexcept { return sync_choice_; }
    void trim() noexcept;

private:
    void pump(const InodeRef& inode, ExtentMap::Send what, nfs::Stability stability);
    core::Task<void> send(InodeRef inode, ExtentMap::Batch batch, nfs::Stability stability);
    core::Task<void> commit(InodeRef inode);
    void commit_soon(const InodeRef& inode);
    core::Task<void> sent(InodeRef inode, ExtentMap::Epoch epoch, nfs::Stability stability);
    core::Task<void> drain_one(InodeRef inode);
    std::vector<LostRange> held() const;
    /// The record of a file with bytes may know a path that this worker never saw.
    std::string path_of(const Inode& inode) const;
    core::Slice keep(core::Slice data);
    void fail(const InodeRef& inode, const core::Error& error, const ExtentMap::Batch* batch);
    /// Brings budget and the set of active inodes up to date after extents changed.
    void settle(const InodeRef& inode);
    /// Gets bytes of this file out of the way where the budget is short.
    void make_room(const InodeRef& inode);
    void relieve();
    void begin_record(const Inode& inode);
    void end_record(FileState& file);
    void arm_tick();
    void tick();

    Deps deps_;
    std::uint64_t budget_bytes_;
    core::Semaphore budget_;
    WriteLog log_;
    std::unordered_set<InodeRef> active_;    ///< inodes with extents
    std::unordered_set<InodeRef> draining_;  ///< those that a drain_one() takes care of
    core::Event activity_;                   ///< active_ became empty or grew, or a deadline passed
    boost::asio::steady_timer timer_;
    enum class Tick : std::uint8_t { stopped, armed } tick_ = Tick::stopped;
    std::uint64_t errors_ = 0;
    std::optional<core::Error> refusal_;  ///< since give_up()
    core::Seldom complaints_;  ///< about WRITE and COMMIT
    SyncChoice sync_choice_;
    std::shared_ptr<Writer*> self_;  // a timer that is due checks that we still live
};

}  // namespace uidnfs::fs
