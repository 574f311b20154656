// SPDX-License-Identifier: Apache-2.0
// Filesystem: file semantics over nfs::Client; knows neither libfuse nor libnfs. Owned by the
// worker's main; everything on the reactor's thread. Each operation is a coroutine that ends
// exactly once; names and slices are passed by value because the caller's buffer is gone by then.
#pragma once

#include "core/arena.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/event.hpp"
#include "core/reactor.hpp"
#include "core/slots.hpp"
#include "core/task.hpp"
#include "fs/inode_numbers.hpp"
#include "fs/inode_table.hpp"
#include "fs/name_lock.hpp"
#include "fs/open_table.hpp"
#include "fs/operations.hpp"
#include "fs/options.hpp"
#include "fs/page_watch.hpp"
#include "fs/patient_question.hpp"
#include "fs/removal.hpp"
#include "fs/stamp.hpp"
#include "fs/types.hpp"
#include "fs/writer.hpp"
#include "mapper/credential_cache.hpp"
#include "nfs/client.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace uidnfs::fs {

class Filesystem final : public Operations {
public:
    struct Deps {
        core::Reactor& reactor;
        nfs::Client& client;
        core::Arena& arena;
        const core::Clock& clock;
        Invalidator& invalidator;
    };

    /// Regions that the arena of a mount must have.
    static std::span<const core::RegionSpec> arena_regions();

    /// `root`: attributes of the export's root as the mount step saw them.
    Filesystem(Deps deps, Options options, const nfs::Attr& root);
    ~Filesystem() override;

    /// Where requests are read into; the payload of a large WRITE stays there.
    core::SlotPool& slots() noexcept override;

    core::Task<core::Result<Entry>> lookup(Caller caller, InodeId parent, std::string name)
        override;
    /// Undoes `count` lookups of an entry that was given to the kernel (or that it never got).
    void forget(InodeId id, std::uint64_t count) override;
    core::Task<core::Result<AttrReply>> getattr(Caller caller, InodeId id) override;
    core::Task<core::Result<AttrReply>> setattr(Caller caller, InodeId id, SetAttrRequest request)
        override;
    /// `mask`: R_OK, W_OK, X_OK of access(2); 0 asks for existence.
    core::Task<core::Result<void>> access(Caller caller, InodeId id, int mask) override;
    core::Task<core::Result<std::string>> readlink(Caller caller, InodeId id) override;
    /// `rdev` as in mknod(2); type in `mode`.
    core::Task<core::Result<Entry>> mknod(
        Caller caller, InodeId parent, std::string name, mode_t mode, dev_t rdev
    ) override;
    core::Task<core::Result<Entry>> mkdir(
        Caller caller, InodeId parent, std::string name, mode_t mode
    ) override;
    core::Task<core::Result<Entry>> symlink(
        Caller caller, InodeId parent, std::string name, std::string target
    ) override;
    core::Task<core::Result<void>> unlink(Caller caller, InodeId parent, std::string name) override;
    core::Task<core::Result<void>> rmdir(Caller caller, InodeId parent, std::string name) override;
    core::Task<core::Result<void>> rename(
        Caller caller,
        InodeId from_parent,
        std::string from_name,
        InodeId to_parent,
        std::string to_name,
        RenameMode mode
    ) override;
    core::Task<core::Result<Entry>> link(
        Caller caller, InodeId id, InodeId new_parent, std::string new_name
    ) override;

    /// `flags`: as in open(2), O_TRUNC included; FMODE_EXEC (0x20) marks an exec.
    core::Task<core::Result<OpenReply>> open(Caller caller, InodeId id, int flags) override;
    core::Task<core::Result<CreateReply>> create(
        Caller caller, InodeId parent, std::string name, mode_t mode, int flags
    ) override;
    core::Task<core::Result<ReadData>> read(OpenId open, std::uint64_t offset, std::size_t size)
        override;
    /// `flags`: the file's as they are at this write, where they are known. fcntl(2) changes
    /// O_APPEND and O_DIRECT after the open, pwritev2(2) adds O_SYNC and O_DSYNC to one write.
    core::Task<core::Result<std::size_t>> write(
        OpenId open,
        std::uint64_t offset,
        core::Slice data,
        WriteOrigin origin,
        core::Progress progress = {},
        std::optional<int> flags = {}
    ) override;
    /// A descriptor was closed: everything written so far is on the server, or its error is told.
    core::Task<core::Result<void>> flush(OpenId open) override;
    core::Task<core::Result<void>> fsync(OpenId open) override;
    /// The last descriptor is gone. Its own errors were told by flush().
    core::Task<void> release(OpenId open) override;

    core::Task<core::Result<OpenReply>> opendir(Caller caller, InodeId id) override;
    /// From `offset` (0 or some DirItem::next_offset) until the sink is full or the directory ends.
    /// Entries taken with Listing::plus count as lookups. The sink is called on the reactor's
    /// thread.
    core::Task<core::Result<void>> readdir(
        OpenId open, std::uint64_t offset, Listing listing, DirSink sink
    ) override;
    core::Task<core::Result<void>> fsyncdir(OpenId open) override;
    void releasedir(OpenId open) override;

    core::Task<core::Result<struct statvfs>> statfs(Caller caller, InodeId id) override;

    /// Takes over what can change while files are open: timers, cto, lookupcache, sync, commit, ro.
    void change(const Options& wanted);
    /// Of now on.
    void set_write_behind(std::uint64_t bytes) { writer_.set_budget(bytes); }
    /// Before the mount is used: what `df` answers should the server fall silent. Takes kPatience
    /// at most.
    core::Task<void> warm();
    /// After a worker that died, before its requests come again.
    void go_on();

    FsStatus status() const;
    /// Brings everything written to the server's disk; what is not there at `deadline` is returned.
    core::Task<std::vector<LostRange>> drain(core::SteadyTime deadline);
    /// The identity of the mount may do nothing any more: every operation answers EACCES, nothing
    /// is sent, what the kernel keeps is dropped. Returns the bytes that the server may not have;
    /// open files that wrote them hear EACCES once. Again: nothing happens, nothing is returned.
    core::Task<std::vector<LostRange>> deny();
    /// Everything works again, with the same open files. REQUIRES: deny() has ended.
    void allow();
    bool is_denied() const noexcept { return access_ == Access::denied; }
    /// Page write-back that deny() had to refuse, since the last call: bytes of mappings.
    std::vector<LostRange> take_refused() { return std::exchange(refused_pages_, {}); }
    /// The kernel asks nothing any more and has no pages: open files are not looked after.
    void forget_kernel() { page_watch_.stop(); }
    /// Gives idle memory back to the system.
    void trim();

private:
    // Who, what, how long (filesystem.cpp)
    core::Result<InodeRef> enter(const Caller& caller, InodeId id);
    enum class Purpose : std::uint8_t { look, change };
    /// An inode and in whose name to work on it; EACCES, EROFS or ESTALE.
    struct Entrance {
        InodeRef inode;
        nfs::CallContext context;
        Kept kept;
    };
    core::Result<Entrance> admit(const Caller& caller, InodeId id, Purpose purpose);
    core::Result<nfs::CallContext> context(const Caller& caller);
    /// In whose name `caller` asks about the mount as a whole; never refused.
    nfs::CallContext context_for_mount(const Caller& caller);
    void refuse_root();
    void note_groups(const Caller& caller);
    core::Task<void> ask_statfs(nfs::CallContext context);
    /// What statfs() answers where the server does not say.
    struct statvfs room_unknown();
    std::uint32_t name_max() const noexcept;
    /// By the server's word: a name is there under other spellings too.
    bool folds_case() const noexcept { return path_conf_ && path_conf_->case_insensitive; }
    TimerRange timers(nfs::FileType type) const noexcept;
    TimerRange timers(const Inode& inode) const noexcept { return timers(inode.type); }
    core::SteadyTime now() const { return deps_.clock.now(); }
    void refuse(const Caller& caller);

    // What replies tell (filesystem_attributes.cpp)
    void learn(const InodeRef& inode, const nfs::Attr& attr, AttrCache::Token asked);
    void finish_change(const InodeRef& inode, const nfs::Wcc& wcc);
    void on_foreign_change(const InodeRef& inode);
    /// The kernel asks for them again. It takes a close, and a call that failed, for what changes
    /// none.
    void drop_attributes(const Inode& inode);
    /// From `offset` on; `length` 0: to the end.
    void drop_pages(const InodeRef& inode, std::uint64_t offset, std::uint64_t length);
    /// Whoever writes the file meanwhile may have put bytes into pages that are dropped now.
    void note_drop(Inode& inode) const;
    void on_lost(const InodeRef& inode, std::uint64_t offset, std::uint64_t length);
    /// ESTALE: nothing that is known of the object holds any more.
    void on_error(Inode& inode, const core::Error& error) noexcept;
    /// A call of ours failed because a name is there, or is not there, against what was known: what
    /// is asked next must not contradict it.
    void on_surprise(Inode& directory, const core::Error& error);
    /// The kernel's pages were not read before `read_since`.
    void settle_pages(Inode& inode, WallTime read_since);
    /// They are what the file holds after a change of ours, if they were that before.
    void carry_pages(Inode& inode);
    struct stat present(const Inode& inode, const nfs::Attr& attr) const;
    /// d_ino of a name in `directory`.
    std::uint64_t number_in(const Inode& directory, std::uint64_t fileid) const;
    Validity attr_valid(const Inode& inode) const;
    /// `told`: by the server when it was asked for this. Where calls overtake each other it may
    /// know of a change that what is remembered leaves in doubt.
    static const nfs::Attr& newest(const Inode& inode, const nfs::Attr& told) noexcept {
        return inode.attrs.is_doubted() ? told : inode.attrs.attr();
    }
    AttrReply attr_reply(const Inode& inode, const nfs::Attr& told) const;
    AttrReply attr_reply(const Inode& inode) const { return attr_reply(inode, inode.attrs.attr()); }
    /// Whether `error` means that its last name was removed here: who holds it still may stat it.
    static bool is_gone(const Inode& inode, const core::Error& error) noexcept;
    AttrReply gone_reply(const Inode& inode) const;
    Validity entry_valid(const Inode& parent) const;
    /// The answer for a name that is not there.
    Entry absent(Inode& parent) const;
    Entry entry(const Inode& parent, const InodeRef& inode, const nfs::Attr& told);
    Entry entry(const Inode& parent, const InodeRef& inode) {
        return entry(parent, inode, inode->attrs.attr());
    }
    /// What the server says now.
    core::Task<core::Result<nfs::Attr>> fetch(nfs::CallContext context, InodeRef inode);
    /// The same unless what is known is fresh.
    core::Task<core::Result<nfs::Attr>> refresh(nfs::CallContext context, InodeRef inode);
    core::Task<void> refresh_root(nfs::CallContext context, InodeRef inode);
    core::Task<core::Result<nfs::Attr>> change(
        nfs::CallContext context, InodeRef inode, nfs::OpenRef open, nfs::SetAttr attributes
    );
    /// The SETATTR of it, and nothing where nothing changes.
    core::Task<core::Result<void>> set(
        nfs::CallContext context, InodeRef inode, nfs::OpenRef open, nfs::SetAttr attributes
    );

    // Rights (filesystem_rights.cpp)
    void remember_rights(Inode& inode, const nfs::CallContext& context, nfs::AccessBits granted);
    core::Task<core::Result<nfs::AccessBits>> rights(nfs::CallContext context, InodeRef inode);
    core::Task<core::Result<nfs::AccessBits>> open_rights(nfs::CallContext context, InodeRef inode);
    core::Task<core::Result<nfs::AccessBits>> root_rights(nfs::CallContext context, InodeRef root);
    core::Task<void> ask_root_rights(nfs::CallContext context, InodeRef root);
    /// A directory that may not be searched any more hides the names that the kernel knows in it.
    core::Task<void> close_names(nfs::CallContext context, InodeRef directory);

    /// Size of one reply to a listing: several buffers of getdents(2), one READDIRPLUS of a small
    /// directory.
    static constexpr std::uint32_t kPageBytes = 64u << 10;
    static constexpr std::uint32_t kMostPageCredit = 8;

    // What is known of names without asking (filesystem_recall.cpp)
    std::optional<Entry> recall(const InodeRef& parent, const std::string& name);
    /// The kernel asks again before it makes a directory that is there, as `mkdir -p` and tar do.
    std::optional<Entry> recall_directory(const InodeRef& parent, const std::string& name);
    bool may_search(const Inode& directory) const noexcept;
    /// nullptr where names may not be known by this mount's options.
    std::shared_ptr<KnownNames> names_of(const InodeRef& directory);
    /// The server answered a lookup.
    void note_miss(
        const nfs::CallContext& context, const InodeRef& parent, const std::string& name
    );
    void list_if_wanted(const nfs::CallContext& context, const InodeRef& directory);
    /// Attributes of a file with a known name were, or were not, believed any more.
    void note_stale(const nfs::CallContext& context, const Inode& inode);
    void note_fresh(const Inode& inode);
    /// A name in the directory, or attributes of its file, were answered without a call.
    void note_hit(const Inode& directory);
    /// Whoever went through a directory is likely to go through the next one beside it: there the
    /// first name is enough for a page.
    void join_walk(const Inode& directory);
    core::Task<void> list_ahead(nfs::CallContext context, InodeRef directory);
    Asked asked_now() const { return {now(), AttrCache::token(), changes_}; }
    struct PageRequest {
        std::uint64_t cookie;
        KnownNames::Load load;
        Asked asked;
    };
    /// Ends the load.
    void take_page(
        const InodeRef& directory,
        KnownNames& known,
        const PageRequest& request,
        const nfs::DirPage& page
    );
    /// Files that the kernel knows get the attributes of a page.
    void learn_page(const KnownNames& known, const PageRequest& request, const nfs::DirPage& page);
    /// Other directories forget theirs when the budget is used up.
    void make_room_for_names(const Inode* wanted);

    // Names (filesystem_names.cpp)
    core::Task<core::Result<InodeRef>> adopt_created(
        nfs::CallContext context, InodeRef parent, std::string name, nfs::CreateReply reply
    );
    core::Task<core::Result<Entry>> finish_create(
        nfs::CallContext context,
        InodeRef parent,
        std::string name,
        core::Result<nfs::CreateReply> reply
    );
    core::Task<void> drop_if_gone(nfs::CallContext context, InodeRef inode);
    core::Task<core::Result<nfs::LinkReply>> link_call(
        nfs::CallContext context, InodeRef inode, InodeRef parent, std::string name
    );
    /// LOOKUP, and GETATTR where its reply has no attributes: with them on success.
    core::Task<core::Result<nfs::LookupReply>> look(
        nfs::CallContext context, InodeRef parent, std::string name
    );
    core::Task<core::Result<nfs::RenameReply>> rename_call(
        nfs::CallContext context,
        InodeRef from_parent,
        std::string from_name,
        InodeRef to_parent,
        std::string to_name
    );
    /// A worker that died had the server do this RENAME: what stands under the new name is what was
    /// moved, and not what must be hidden from it.
    core::Task<bool> was_moved(
        nfs::CallContext context,
        InodeRef from_parent,
        std::string from_name,
        InodeRef to_parent,
        std::string to_name
    );
    /// The child of this name, which a file opened under a worker before this one may have.
    core::Task<core::Result<InodeRef>> named(
        nfs::CallContext context, InodeRef parent, std::string name
    );

    // Silly names (filesystem_silly.cpp)
    bool must_stay(const InodeRef& child) const noexcept;
    /// `added`: beside its own name, which is about to be replaced and is there all the time.
    enum class Silly : std::uint8_t { moved, added };
    /// Where whoever replaces `child` could not take an added name away again: `moved`.
    Silly how_to_hide(const Inode& parent, const Inode& child, const nfs::CallContext& context)
        const noexcept;
    /// How it was made: a server without hard links only moves.
    core::Task<core::Result<Silly>> make_silly(
        nfs::CallContext context, InodeRef parent, std::string name, InodeRef child, Silly wanted
    );
    core::Task<void> undo_silly(
        nfs::CallContext context, InodeRef parent, std::string name, InodeRef child, Silly made
    );
    core::Task<void> remove_silly(nfs::CallContext context, InodeRef inode);
    void forget_silly(const InodeRef& inode);
    /// Its silly name is being removed: nobody knows whether the server counts it still.
    bool is_silly_going(const Inode& inode) const noexcept {
        return inode.silly && !inode.is_in_use() && silly_removals_ > 0;
    }
    /// refresh(), with a number of links that counts no silly name, or is known to count it.
    core::Task<core::Result<nfs::Attr>> refresh_links(nfs::CallContext context, InodeRef inode);
    bool is_silly_name(const InodeRef& child, const Inode& parent, const std::string& name) const;
    /// A worker that died was removing it: whether its name was changed, the server knows.
    core::Task<core::Result<void>> settle_silly(InodeRef inode);
    /// The kernel does not wait for the last close of a file that was removed while open: until
    /// this directory has none of those that are on their way out.
    core::Task<void> silly_names_gone(nfs::CallContext context, InodeRef parent, std::string name);

    // Opens (filesystem_opens.cpp)
    core::Task<core::Result<OpenReply>> open_file(
        nfs::CallContext context, InodeRef inode, int flags
    );
    /// By the server's count of links, which some servers do not keep. Linux's answers for a file
    /// that was removed as long as anybody there has it open; it is not what the path leads to
    /// (nfs_lookup_verify_inode() in the kernel's fs/nfs/dir.c).
    core::Task<bool> is_without_name(nfs::CallContext context, InodeRef inode);
    /// `read_since`: as for settle_pages().
    core::Result<OpenReply> add_open(
        const nfs::CallContext& context,
        const InodeRef& inode,
        OpenKind kind,
        int flags,
        WallTime read_since
    );
    /// The READ that goes out together with the open of a small file.
    std::unique_ptr<ReadAhead> read_at_open(
        const nfs::CallContext& context, const InodeRef& inode, int flags
    );
    struct Created {
        nfs::CreateReply reply;
        /// `owed`: begin_owed() when the file is open.
        enum class Attributes : std::uint8_t { set, owed } attributes = Attributes::set;
    };
    core::Task<core::Result<Created>> create_call(
        nfs::CallContext context, InodeRef parent, std::string name, mode_t mode, int flags
    );
    core::Task<void> remove_failed_create(
        nfs::CallContext context, InodeRef parent, std::string name, nfs::FileHandle handle
    );

    // Files (filesystem_files.cpp)
    core::Task<core::Result<nfs::Attr>> cut(
        nfs::CallContext context, InodeRef inode, nfs::OpenRef open, nfs::SetAttr attributes
    );
    /// Whether bytes that this file's readers have not asked for yet may be fetched.
    bool may_read_ahead(const OpenFile& file) const noexcept;
    ReadAhead& ahead_of(OpenFile& file);
    /// `offset`: where the kernel believes the end to be.
    core::Task<core::Result<std::size_t>> append(
        OpenFileRef file,
        std::uint64_t offset,
        core::Slice data,
        nfs::Stability stability,
        core::Progress progress
    );
    core::Task<core::Result<void>> sync_file(OpenFileRef file, Writer::Reach reach);
    /// Bytes; of FSINFO and of what off_t can name.
    std::uint64_t largest_file() const noexcept;
    nfs::Stability stability_of(int flags) const noexcept;

    // Mode and times of files made with CREATE EXCLUSIVE (filesystem_owed.cpp)
    /// Whether whoever opens with `flags` waits for them at its close only.
    bool may_owe(int flags) const noexcept;
    void begin_owed(const OpenFileRef& file, std::uint32_t mode);
    core::Task<void> pay(OpenFileRef file, std::uint32_t mode);
    core::Task<void> fail_owed(OpenFileRef file, core::Error error);
    /// Until the server has answered.
    core::Task<void> paid(InodeRef inode);
    core::Task<void> all_paid(core::SteadyTime deadline);

    // Directories (filesystem_directories.cpp)
    core::Task<core::Result<void>> load_page(
        OpenFileRef file, std::uint64_t cookie, Listing listing
    );
    /// nullptr where few go on to list what they open, or the server is to be asked each time.
    std::shared_ptr<FirstPage> page_at_open(
        const nfs::CallContext& context, const InodeRef& directory
    );
    core::Task<void> fetch_first(
        nfs::CallContext context, InodeRef directory, std::shared_ptr<FirstPage> first
    );
    /// The page that came with the open, if it may still be shown.
    core::Task<std::optional<core::Result<nfs::DirPage>>> take_first(OpenFileRef file);
    core::Task<core::Result<nfs::DirPage>> fetch_page(
        OpenFileRef file, std::uint64_t cookie, Listing listing
    );
    DirItem make_item(
        const InodeRef& directory, const nfs::DirEntry& found, Listing listing, const Asked& asked
    );
    void count_item(const InodeRef& directory, const nfs::DirEntry& found, const DirItem& item);

    void restore();
    /// Those that were being released.
    std::vector<OpenId> restore_opens();
    void restore_silly();
    void restore_extents();
    void drop_unused();
    std::vector<bool> credentials_in_use(std::size_t numbers) const;
    /// 0, or the errno of earlier bytes that this open file has not heard.
    int take_error(OpenFile& file);

    // Without access (filesystem_denial.cpp)
    void forget_known();
    void note_refused(const Inode& inode, std::uint64_t offset, std::uint64_t length);

    Deps deps_;
    Options options_;
    mapper::CredentialCache credentials_;
    core::SlotPool slots_;
    ExtentRecords extent_records_;
    CursorRecords cursor_records_;
    CookieRecords cookie_records_;
    SillyRecords silly_records_;
    WrittenRecords written_records_;
    CounterRecords counter_records_;
    CredentialLedger ledger_;
    std::unordered_set<OpenId> nameless_opens_;  ///< of files whose names only the kernel may know
    std::size_t nameless_opening_ = 0;           ///< such ones that are not open yet
    std::unordered_set<InodeId> unsettled_silly_;  ///< see settle_silly()
    std::size_t silly_removals_ = 0;               ///< under way
    Removals removals_;
    NameLocks changing_names_;
    struct Walk {
        InodeId above = 0;         ///< the directory whose directories are gone through
        std::uint32_t credit = 0;  ///< pages that were earned
    } walk_;
    std::shared_ptr<NamesBudget> names_budget_ = std::make_shared<NamesBudget>();
    InodeTable inodes_;
    InodeNumbers numbers_;
    ReadAhead::HouseRef ahead_;
    OpenTable opens_;
    Writer writer_;
    PageWatch page_watch_;
    ServerClock server_clock_;
    LateQuestions late_questions_;
    PatientQuestion statfs_question_;
    PatientQuestion root_question_;
    PatientQuestion root_rights_question_;
    std::uint64_t
        boot_nonce_;  ///< tells our exclusive creates and silly names from those of others
    std::uint32_t counter_ = 0;
    std::uint64_t changes_ = 0;  ///< of ours that ended
    /// Whether those who open directories list them: each that does counts one up, each that does
    /// not one down. At 0 only every sixteenth open is tried.
    std::uint32_t page_credit_ = kMostPageCredit;
    std::uint32_t page_opens_ = 0;
    std::size_t owed_ = 0;  ///< inodes with an owed_mode
    core::Event owed_answered_;
    enum class Support : std::uint8_t { assumed, missing };
    Support readdirplus_ = Support::assumed;
    Support exclusive_create_ = Support::assumed;
    Support link_counts_ = Support::assumed;
    enum class GroupsCut : std::uint8_t { none, told } groups_cut_ = GroupsCut::none;
    std::optional<struct statvfs> last_statfs_;
    std::optional<core::Error> statfs_error_;
    enum class Room : std::uint8_t { told, unknown } room_ = Room::told;
    std::optional<core::Error> root_error_;
    struct RootRights {
        mapper::CredentialRef whose;
        core::Result<nfs::AccessBits> granted;
    };
    std::optional<RootRights> root_rights_;  ///< as the last question found them
    std::optional<nfs::PathConf> path_conf_;
    FsStatus counts_;
    enum class Access : std::uint8_t { given, denied } access_ = Access::given;
    std::vector<LostRange> refused_pages_;
};

}  // namespace uidnfs::fs
