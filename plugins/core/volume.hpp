// SPDX-License-Identifier: Apache-2.0
// Volume: one volume's state machine. Commands wait in its queue and are carried out one after
// another; each asks for one step at a time and goes on when the step has ended. Decides only: no
// I/O, no clock of its own. Owned by Volumes, on the reactor's thread.
#pragma once

#include "core/clock.hpp"
#include "core/error.hpp"
#include "plugins/core/definition.hpp"
#include "plugins/core/holders.hpp"
#include "plugins/core/live_record.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace uidnfs::plugins {

enum class State : std::uint8_t {
    absent,
    created,
    mounting,
    mounted,
    unmounting,
    /// Gone from the host's mounts, its data still on the way to the server; or all of it is there,
    /// somebody still uses it, and it can be mounted again beside that.
    detached,
    failed,  ///< its worker died, or could not be unmounted; reason() says why
};
std::string_view to_string(State state) noexcept;

/// Whether the definition outlives the last Unmount. Cloud Foundry never sends Remove, and one
/// Unmount for all Mounts of a holder.
enum class Lifetime : std::uint8_t { until_removed, until_unmounted };

// Commands. A holder is who keeps it mounted: Docker's ID; for Cloud Foundry the volume's name.
struct Create {
    DefinitionPtr definition;
};
struct Mount {
    std::string holder;
};
struct Unmount {
    std::string holder;
};
struct Remove {};
/// Unmount whoever holds it, for a daemon that ends.
struct Drain {};
/// The answer of Mount `serial` reached nobody: undo that one.
struct TakeBack {
    std::string holder;
    Serial serial;
};

/// The answer of Mount `serial` arrived: it counts from now on. Is not answered itself.
struct Delivered {
    std::string holder;
    Serial serial;
};

struct Command {
    Serial serial = 0;
    core::SteadyTime deadline = {};
    std::variant<Create, Mount, Unmount, Remove, Drain, TakeBack, Delivered> what;
};

// Events.
struct Submitted {
    Command command;
};
struct HungUp {  ///< nobody waits for the answer any more
    Serial serial;
};
struct Prepared {
    core::Outcome<MountSpec> spec;
};
struct Started {  ///< also how Step::adopt ends
    core::Outcome<Worker> worker;
};
struct Stopped {
    core::Outcome<Ended> ended;
};
struct Done {  ///< the other steps
    core::Outcome<void> result;
};
struct WorkerEnded {
    WorkerId worker;
    Ended ended;
};
struct Tick {};  ///< next_deadline() has come

using Event = std::variant<Submitted, HungUp, Prepared, Started, Stopped, Done, WorkerEnded, Tick>;

enum class Step : std::uint8_t {
    save_definition,
    erase_definition,
    prepare,    ///< options, credentials, directory -> spec()
    save_live,  ///< record()
    erase_live,
    start,   ///< spec() -> worker; a failure leaves nothing behind
    stop,    ///< flush, unmount, end
    detach,  ///< out of the host's mounts at once; the worker flushes until the deadline
    adopt,   ///< record() -> worker; a failure: nothing of ours is alive there
};
std::string_view to_string(Step step) noexcept;

// Actions. At most one step runs at a time; it ends with one event, also when it is cancelled.
struct Do {
    Step step;
    core::SteadyTime deadline = {};  ///< of prepare, start, stop, detach
    friend bool operator==(const Do&, const Do&) = default;
};
struct Cancel {};  ///< the running step prepare or start: its result is no longer wanted
struct Answer {
    Serial serial;
    core::Outcome<void> result;
    /// `nothing`: what is asked for was so already, and no record says that it was done.
    enum class Did : std::uint8_t { something, nothing } did = Did::something;
};
struct Note {  ///< for log and audit
    enum class Kind : std::uint8_t { worker_died, data_lost, not_saved, aborted } kind;
    std::string text;
};
using Action = std::variant<Do, Cancel, Answer, Note>;
using Actions = std::vector<Action>;

class Volume {
public:
    struct Times {
        core::SteadyDuration stop = std::chrono::seconds(4);    ///< then it is detached
        core::SteadyDuration flush = std::chrono::seconds(30);  ///< of a detached one
    };

    Volume(VolumeKey key, Lifetime lifetime, Times times);

    /// What was on disk. REQUIRES: nothing was handled yet. Returns the steps that find a live one
    /// again.
    Actions restore(DefinitionPtr definition, std::optional<LiveRecord> record);

    Actions handle(Event event, core::SteadyTime now);

    State state() const noexcept;
    const VolumeKey& key() const noexcept { return key_; }
    /// Why it is failed, or why the last Mount was; empty after a success. Of one that is taken
    /// away and used: that it is.
    const std::string& reason() const noexcept;
    const DefinitionPtr& definition() const noexcept { return definition_; }
    const MountSpec& spec() const noexcept { return spec_; }
    /// Set from Started until the worker is gone, or left to those who still use it.
    const std::optional<Worker>& worker() const noexcept { return worker_; }
    /// Of mounts that were taken away while somebody used them; each until its WorkerEnded.
    const std::vector<Worker>& left() const noexcept { return left_; }
    std::vector<std::string> holders() const { return holders_.names(); }
    /// Where the application finds it; empty unless mounted.
    std::string mountpoint() const;
    LiveRecord record() const;
    /// When Tick is due.
    std::optional<core::SteadyTime> next_deadline() const noexcept;
    /// restore() began something that has not ended.
    bool is_adopting() const noexcept { return phase_ == Phase::adopting; }
    /// Nothing to remember: it may be destroyed.
    bool is_gone() const noexcept;

private:
    enum class Rest : std::uint8_t { absent, created, mounted, detached, failed };
    enum class Phase : std::uint8_t {
        idle,
        defining,    // save_definition
        forgetting,  // erase_definition
        preparing,   // prepare
        intending,   // save_live: a worker may exist from here on
        starting,    // start
        recording,   // save_live: it does, and who holds it
        holding,     // save_live: other holders
        ending,      // save_live: it is to go
        stopping,    // stop
        detaching,   // detach
        leaving,     // save_live: detached
        clearing,    // erase_live
        flushing,    // a Mount, Remove or Drain waits for workers to end
        adopting,    // adopt
    };
    enum class Listener : std::uint8_t { waiting, gone };
    struct Pending {
        Command command;
        Listener listener = Listener::waiting;  // gone: answered, or hung up
        Answer::Did did = Answer::Did::something;
    };

    void take(Submitted event);
    void take(HungUp event);
    void take(Prepared event);
    void take(Started event);
    void take(Stopped event);
    void take(Done event);
    void take(WorkerEnded event);
    void take(Tick event);

    void run_next();
    void run(const Create& command);
    void run(const Mount& command);
    void run(const Unmount& command);
    void run(const Remove& command);
    void run(const Drain& command);
    void run(const TakeBack& command);
    void run(const Delivered& command);

    void begin_mount();
    void after_recording(core::Outcome<void> result);
    void after_holding(core::Outcome<void> result);
    void take_adopted(core::Outcome<Worker> worker);
    void released(Holders::Record record);
    void begin_teardown();
    void stop_or_detach();
    void detached();
    void clear();
    void cleared();
    void forget();
    void settle();
    void one_of_left_ended(std::vector<Worker>::iterator worker, Ended ended);
    bool is_only_left() const noexcept;
    void tell_aborted(const core::Failure& why);
    void tell_lost(Ended& ended);
    void erase_or_save(Phase phase);

    void enter(Phase phase, Step step, core::SteadyTime deadline = {});
    void save(Phase phase, LiveRecord::Phase as);
    void complete(core::Outcome<void> result);
    void answer(Pending& pending, core::Outcome<void> result);
    void leave_mount(Pending& pending);
    void push_front(TakeBack command);
    core::Failure late(const Pending& pending) const;
    core::Failure ended_meanwhile() const;
    const Mount* current_mount() const noexcept;
    bool is_unwanted() const noexcept;

    VolumeKey key_;
    Lifetime lifetime_;
    Times times_;

    Rest rest_ = Rest::absent;
    Phase phase_ = Phase::idle;
    LiveRecord::Phase record_phase_ = LiveRecord::Phase::mounting;
    DefinitionPtr definition_;
    DefinitionPtr definition_before_;  // while a new one is saved
    MountSpec spec_;
    std::string source_;  // of what is mounted
    MountIdentity identity_;
    std::optional<Worker> worker_;
    std::optional<Ended> worker_ended_;  // it is dead, whatever rest_ says
    enum class Use : std::uint8_t { unknown, goes_on } use_ = Use::unknown;  // says the last stop
    std::vector<Worker> left_;
    std::size_t left_on_disk_ = 0;  // how many of them the record names
    std::string told_end_;          // why worker_ ended, once it was told
    std::string told_on_disk_;      // what the record says of it
    Holders holders_;
    std::string reason_;

    std::optional<Pending> current_;
    std::optional<core::Failure> undo_;  // why the current Mount is being undone
    std::deque<Pending> queue_;

    core::SteadyTime now_ = {};
    Actions actions_;
};

}  // namespace uidnfs::plugins
