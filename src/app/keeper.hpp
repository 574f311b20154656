// SPDX-License-Identifier: Apache-2.0
// Keeper: one small process per mount. It holds /dev/fuse and the arena, starts the worker,
// attaches the mount when the worker is ready, answers the control socket and ends the mount in
// order. It reads neither what comes from the kernel nor what comes from the network. One thread,
// one poll(2) loop.
#pragma once

#include "app/connection_record.hpp"
#include "app/names.hpp"
#include "app/process_state.hpp"
#include "app/restarts.hpp"
#include "app/retry.hpp"
#include "app/spec.hpp"
#include "app/starter.hpp"
#include "config/mount_options.hpp"
#include "control/door.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::app {

class Keeper {
public:
    struct Descriptors {
        core::Fd fuse;       ///< none: fusermount3 will give it
        core::Fd mount;      ///< detached; none: somebody else mounted the device, or will
        core::Fd directory;  ///< what it will be attached to; none: looked up when it is time
    };

    Keeper(MountSpec spec, config::MountRequest request, Descriptors descriptors, Starter& starter);
    Keeper(const Keeper&) = delete;
    Keeper& operator=(const Keeper&) = delete;
    ~Keeper();

    /// Until the mount has ended. Returns the exit status.
    int run();
    /// The same for a mount that lives, with the device `minor`, whose keeper was killed. A failure
    /// is told to the starter and changes nothing; ESRCH: nobody serves it any more. `held`: what
    /// the one before had handed out, for the case that its worker was killed with it.
    int go_on_with(std::uint32_t minor, std::optional<Channel::Received> held);

private:
    /// What a worker may take beyond the deadline it was given, before it counts as hanging.
    static constexpr std::chrono::milliseconds kGrace{2000};
    /// Signals within it are one: timeout(1) sends its own twice, to the program and to its group.
    static constexpr std::chrono::milliseconds kOneSignal{200};
    /// From the end of a worker's channel to its own.
    static constexpr std::chrono::milliseconds kLastWords{100};
    /// What an old worker may take to answer what it has, where whoever upgrades does not say.
    static constexpr std::chrono::milliseconds kHandOver{10'000};

    enum class Phase : std::uint8_t {
        starting,  ///< the worker connects; nothing is attached
        waiting,   ///< it failed, and will be tried again
        serving,
        draining,  ///< told to end: the worker brings to the server what it has
        ending,    ///< unmounted, or told to: the worker brings away the rest and exits
        over,
    };
    /// A caller of the control socket.
    struct Client {
        enum class Wants : std::uint8_t {
            unknown,
            status,
            drain,
            finish,
            stop,
            watch,
            remount,
            access,  ///< deny, allow
            upgrade,
            health,  ///< status, but for whether the mount is still at its place
        };
        Channel channel;
        Wants wants = Wants::unknown;
        std::uint64_t id = 0;  ///< of the question to the worker; 0: none
        core::SteadyTime deadline;
        std::vector<config::RawOption> asked = {};  ///< remount
        bool holds = false;                         ///< watch: has device and arena (hand_out())
    };

    /// A change to another version of the program (keeper_upgrade.cpp).
    struct Upgrade {
        enum class Step : std::uint8_t {
            checking,      ///< the new worker looks at the state
            handing_over,  ///< the old one ends what it has begun
            going_on,      ///< the new one takes over: `program` is the version before
        };
        Step step;
        std::optional<Child> successor;  ///< until it is the worker
        Channel channel;
        core::Fd program;
        std::uint64_t id;  ///< of the client that waits, and of the question to the worker
        std::chrono::milliseconds limit;
        core::SteadyTime deadline;
        std::string version;
    };

    int keep();
    core::Outcome<void> catch_signals();
    core::Outcome<void> start();
    core::Outcome<void> start_worker();
    /// A process that has the spec and the descriptors.
    core::Outcome<void> launch_worker();
    /// A try to mount has failed: the next one is planned, or it is over.
    void try_failed(core::Failure failure);
    void go_to_background(const core::Failure& failure);
    bool is_starting() const noexcept {
        return phase_ == Phase::starting || phase_ == Phase::waiting;
    }
    std::string cannot() const;
    void give_device();
    void wait_for_events();
    void check_time(core::SteadyTime now);

    void on_signal();
    void on_starter();
    void on_worker_messages();
    void on_worker_message(const Message& message);
    void on_connection(const Message& news);
    void forget_connections();
    void on_worker_end(const std::string& how);

    // The worker has died under a mount that is there (keeper_takeover.cpp)
    using Death = fuse::InFlight::Death;
    /// False: it cannot be; the mount is given up.
    bool can_take_over() const noexcept;
    void take_over(const std::string& why, Death death = Death::failed);
    void start_next_worker();
    void wait_for_more(const core::Failure& failure);
    void on_next_ready();
    void check_worker(core::SteadyTime now);
    void reap_others();
    core::SteadyTime next_look() const noexcept;
    std::optional<core::SteadyDuration> time_left() const;

    // Another version goes on (keeper_upgrade.cpp)
    core::Result<Child> spawn_role(const char* role, int channel, Output output) const;
    void upgrade(Client& client, const Message& request, std::vector<core::Fd> descriptors);
    void on_successor();
    void on_handed_over(const Message& message);
    void upgraded();
    void upgrade_failed(const std::string& why);
    void check_upgrade(core::SteadyTime now);

    // In the place of a keeper that was killed, or for the next one (keeper_adopt.cpp)
    core::Outcome<void> adopt(std::uint32_t minor, std::optional<Channel::Received> held);
    /// That no other keeper works on this memory, as long as this process lives.
    core::Outcome<void> claim(const core::Fd& arena);
    /// Device, arena and words of either giver. A failure changes nothing.
    core::Outcome<void> take_handed(Channel::Received answer, std::uint32_t minor);
    core::Outcome<void> adopt_from_worker(std::uint32_t minor, control::Behind behind);
    core::Outcome<void> go_on_without_worker(std::uint32_t minor, Channel::Received held);
    void hand_out(Client& client) const;
    void write_down();
    void give_door();

    /// Who waited for the mount waits no more.
    bool is_forsaken() const;
    core::Failure forsaken() const;
    core::Outcome<void> attach(std::uint64_t read_bytes);
    core::Outcome<std::uint32_t> attach_ours(std::uint64_t read_bytes);
    void open_control(std::uint32_t minor);
    void keep_control();
    void fail_start(core::Failure failure);
    void begin_stop(core::SteadyDuration limit);
    void unmount_after_drain(const std::vector<std::string>& lost);
    void begin_ending(core::SteadyDuration limit);
    void give_up(const std::string& why);
    void finish();
    enum class Detach : std::uint8_t { if_unused, lazily };
    core::Fd turn_to_unmount() const;
    void unmount(Detach how);
    int unmount_one(const std::string& path, Detach how);
    void release_device();
    /// Also by somebody else. Its number is then free for the next mount.
    bool is_unmounted() const;
    void note_lost(const std::vector<std::string>& lost);

    // What was not written (keeper_recovery.cpp)
    void save_unwritten();
    void tell_of_unwritten() const;
    /// The answer of the process that took it out of the arena.
    core::Outcome<Message> salvage(int file);

    void accept_client();
    void on_client(Client& client);
    void answer_status(Client& client);
    void remount(Client& client, const Message& request);
    void change_access(Client& client, const Message& request);
    void ask_for_access(Client& client);
    Message access() const;
    void remounted(Client& client, const Message& done);
    void answer_end(Client& client);
    void answer(Client& client, const Message& message);
    Message status_reply(const Client& client, std::string json) const;
    static std::chrono::milliseconds limit_of(
        const Message& request, core::SteadyDuration otherwise
    );
    bool ask_worker(Client& client, Message question);

    core::SteadyDuration flush_deadline() const;
    bool tell_worker(const Message& message);

    MountSpec spec_;
    config::MountRequest request_;
    Descriptors descriptors_;
    Starter* starter_;
    Phase phase_ = Phase::starting;
    Retry retry_;
    std::string last_failure_;  ///< of the tries to mount
    enum class Ground : std::uint8_t { fore, back } ground_ = Ground::fore;  ///< bg took effect
    core::SteadyTime deadline_ = core::SteadyTime::max();
    core::Fd arena_;  ///< never mapped here
    core::Fd claim_;  ///< the same, open once more and locked
    std::optional<Child> worker_;
    Channel worker_channel_{core::Fd()};
    std::optional<ControlSocket> control_;
    std::optional<std::uint32_t> lost_control_;  ///< number of the one that was removed
    core::Fd door_;  ///< of the worker, for the time after this keeper
    core::SteadyTime write_again_ = core::SteadyTime::max();  ///< write_down() that failed
    core::Fd signals_;
    std::optional<core::SteadyTime> signalled_;  ///< first
    /// When a signal is read says nothing of when it came: "yes" once none was waiting after the
    /// time in which two are one.
    enum class SecondCounts : std::uint8_t { not_yet, yes } second_ = SecondCounts::not_yet;
    std::optional<std::uint32_t> minor_;  ///< of the mount that we attached, and may unmount
    std::vector<Client> clients_;
    std::uint64_t next_id_ = 1;
    enum class Ended : std::uint8_t { no, yes } ended_ = Ended::no;  ///< the worker said so

    std::string takeover_ = "none";  ///< what the worker said of itself
    /// Of the worker, while the mount is there: it serves, or it is the next one and gets ready.
    enum class Succession : std::uint8_t {
        none,
        waiting,
        getting_ready
    } succession_ = Succession::none;
    ConnectionRecord connections_;
    Restarts restarts_;
    std::string want_;  ///< for which the next worker cannot be started
    core::SteadyTime listen_again_ = core::SteadyTime::min();  ///< for want of a descriptor
    HangWatch hang_watch_;
    std::vector<Child> dead_;  ///< killed and not reaped yet
    core::Fd program_;         ///< of the workers; none: ours
    std::optional<Upgrade> upgrade_;
    std::vector<std::string> lost_;
    std::string given_up_;  ///< why, where the worker did not say what is lost
    std::string kept_;      ///< recovery file
    int exit_status_ = 0;
};

/// The hidden command "salvage": takes out of a mount's memory what was not written.
int run_salvage();

/// The hidden command "keeper": reads its spec from the channel that spawn_self() left.
int run_keeper();

}  // namespace uidnfs::app
