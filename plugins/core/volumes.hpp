// SPDX-License-Identifier: Apache-2.0
// Volumes: all volumes of the daemon. It carries out what each Volume decides: commands for one
// name in order, different names beside each other, deadlines, clients that hang up. What blocks
// is on a thread of its own. Lives on the reactor's thread; owned by main(), until the reactor
// ends.
#pragma once

#include "core/reactor.hpp"
#include "plugins/core/background.hpp"
#include "plugins/core/mounter.hpp"
#include "plugins/core/store.hpp"
#include "plugins/core/volume.hpp"

#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace uidnfs::plugins {

struct VolumeInfo {
    std::string name;
    State state = State::absent;
    std::string mountpoint = {};  ///< empty unless mounted
    std::string reason = {};      ///< of state failed, or why the last Mount was
    std::vector<std::string> holders = {};
    std::string source = {};
    std::optional<Worker> worker = {};
    MountIdentity identity = {};  ///< of what is mounted
    std::optional<std::chrono::sys_seconds> created = {};
};

/// Who asks, for the audit, and whether somebody still listens.
struct Caller {
    std::stop_token hung_up = {};
    std::string peer = {};
};

class Volumes {
public:
    struct Deps {
        core::Reactor& reactor;
        Store& store;
        Mounter& mounter;
        Preparer& preparer;
        Observer& observer;
        /// Whoever wants to ask its worker something before that is ended; not for long.
        std::function<core::Task<>(VolumeKey)> before_stop = {};
    };
    struct Limits {
        core::SteadyDuration mount = std::chrono::seconds(7);  ///< the whole of it
        /// The others, which may have to wait for a Mount before them.
        core::SteadyDuration other = std::chrono::seconds(20);
        Volume::Times times = {};
        std::size_t volumes = 10'000;  ///< of both dialects
        std::size_t waiting = 64;      ///< commands for one volume
    };
    struct Mounted {
        std::string mountpoint;
        Serial serial;  ///< for take_back()
    };
    using Reply = std::function<void(core::Outcome<void>)>;
    using MountReply = std::function<void(core::Outcome<Mounted>)>;
    /// Names that could not be unmounted, each with the reason.
    using DrainReply = std::function<void(std::vector<std::string>)>;

    Volumes(Deps deps, Limits limits);
    Volumes(const Volumes&) = delete;
    Volumes& operator=(const Volumes&) = delete;
    ~Volumes();

    /// Reads the store and begins to find live mounts again; to be called once, before commands.
    core::Outcome<void> restore();
    /// Some live mount is still being found again: what is told of it would be too little.
    bool is_restoring() const;

    // Each is answered once and in time; a Mount whose caller hung up is undone instead. Failures
    // carry a reference that log and audit have too.
    void create(VolumeKey key, DefinitionPtr definition, Caller caller, Reply reply);
    void mount(VolumeKey key, std::string holder, Caller caller, MountReply reply);
    /// ENOENT: there is no such volume.
    void unmount(VolumeKey key, std::string holder, Caller caller, Reply reply);
    void remove(VolumeKey key, Caller caller, Reply reply);
    /// The answer of that Mount could not be delivered.
    void take_back(VolumeKey key, std::string holder, Serial mount);
    /// It was: the Unmount that ends this Mount will come.
    void delivered(const VolumeKey& key, std::string holder, Serial mount);

    // At once, whatever hangs.
    std::optional<VolumeInfo> find(const VolumeKey& key) const;
    std::vector<VolumeInfo> list(Dialect dialect) const;
    /// Of both dialects.
    std::size_t count_mounted() const;

    /// From the mounter; ignored when that volume has another worker by now.
    void worker_ended(const VolumeKey& key, WorkerId worker, Ended ended);

    /// From the mounter. Changes nothing; log and audit have it.
    void keeper_told(const VolumeKey& key, KeeperNews news, std::string text);

    /// Unmounts everything; new Mounts are refused from now on.
    void drain(core::SteadyTime deadline, DrainReply reply);

private:
    struct Entry;
    struct Waiter;
    struct Draining;

    Entry& entry(const VolumeKey& key);
    template <class What>
    void submit(
        VolumeKey key, What what, core::SteadyTime deadline, Caller caller, MountReply reply
    );
    void refuse(
        const VolumeKey& key,
        std::string holder,
        const Caller& caller,
        core::Failure why,
        Decision::Event asked,
        const MountReply& reply
    );
    void dispatch(const VolumeKey& key, Event event);
    void apply(Entry& entry, Action action);
    void begin(Entry& entry, Do action);
    void answer(Entry& entry, Answer action);
    void arm(Entry& entry);
    core::Task<> run_step(VolumeKey key, Do action, std::weak_ptr<void> alive);
    void save(Entry& entry, Step step);
    std::string next_reference();

    Deps deps_;
    Limits limits_;
    std::map<VolumeKey, std::unique_ptr<Entry>> entries_;
    std::map<Serial, std::unique_ptr<Waiter>> waiters_;
    Serial serial_ = 0;
    std::uint32_t reference_base_ = 0;
    enum class Accepting { mounts, nothing_new } accepting_ = Accepting::mounts;
    std::shared_ptr<void> alive_ = std::make_shared<int>();
    // A disk that is slow with definitions holds up no Mount of another volume.
    Background definitions_;
    Background live_;
};

}  // namespace uidnfs::plugins
