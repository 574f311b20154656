// SPDX-License-Identifier: Apache-2.0
// HealthWatch: asks the worker of each mount how it is, through its control socket and never
// through the mount's path, and keeps the answers. Mounts that are new are asked at once, then each
// every 30 s, spread evenly, a few at a time. Lives on the reactor's thread; owned by main(), until
// the reactor ends.
#pragma once

#include "core/reactor.hpp"
#include "plugins/core/inspector.hpp"
#include "plugins/core/mounter.hpp"
#include "plugins/observe/mount_health.hpp"
#include "plugins/observe/mounted_volume.hpp"

#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

namespace uidnfs::plugins {

class HealthWatch final : public Observer {
public:
    struct Deps {
        core::Reactor& reactor;
        Inspector& inspector;
        std::function<std::vector<MountedVolume>()> mounted;  ///< mounted_volumes()
        /// stays(): of one alone, for when a server fails, all of its mounts change.
        std::function<MountedVolume::Stays(const VolumeKey&, const WorkerId&)> stays;
        std::vector<StatusListener*> listeners = {};
        /// ConnectionAudit::written()
        std::function<std::uint64_t(const WorkerId&)> written = {};
    };
    struct Limits {
        core::SteadyDuration answer = std::chrono::seconds(2);
        core::SteadyDuration look = std::chrono::seconds(5);  ///< for mounts nobody told of
        /// Between two looks: mounts may be many, and decisions come in bursts.
        core::SteadyDuration rest = std::chrono::milliseconds(100);
        std::size_t at_once = 4;
        core::SteadyDuration last_answer = std::chrono::milliseconds(300);  ///< somebody waits
    };

    HealthWatch(Deps deps, Limits limits);
    HealthWatch(const HealthWatch&) = delete;
    HealthWatch& operator=(const HealthWatch&) = delete;
    ~HealthWatch() override;

    /// To be called once, after Volumes::restore().
    void start();

    /// A decision may mean another mount: looks soon.
    void decided(const Decision& decision) override;

    /// Its worker is asked in a moment, whenever it was asked last.
    void ask_soon(const VolumeKey& volume);

    /// Before a worker is ended: what it did since it was asked last is told too. Of one that is
    /// not healthy nothing is awaited.
    core::Task<> ask_last(VolumeKey volume);

    /// Nothing for what is not mounted. Valid until the next turn of the reactor.
    const MountHealth* find(const VolumeKey& volume) const;
    /// How many mounts are in that health.
    std::size_t count(Health health) const;

private:
    struct Entry {
        MountedVolume volume;
        MountHealth health;
        core::SteadyTime due;  // in due_, except while it is asked
        enum class Asked : std::uint8_t { never, now, before } asked = Asked::never;
    };

    void look_soon();
    void look();
    void forget(std::map<VolumeKey, Entry>::iterator entry);
    void plan(Entry& entry, core::SteadyTime due);
    void ask_due();
    void arm();
    void mark_asked(Entry& entry);
    void begin(Entry& entry);
    core::Task<> ask(MountedVolume volume, core::SteadyDuration limit, std::weak_ptr<void> alive);
    void take(const MountedVolume& volume, const core::Outcome<std::string>& answer);
    std::uint64_t written(const MountedVolume& volume) const;
    /// Of an end that was asked for, whoever asked for it is told.
    bool is_told_elsewhere(const MountedVolume& volume, Health health) const;

    Deps deps_;
    Limits limits_;
    std::map<VolumeKey, Entry> entries_;
    std::set<std::pair<core::SteadyTime, VolumeKey>> due_;  // mounts are many
    std::size_t asking_ = 0;
    core::SteadyTime look_at_ = {};
    core::SteadyTime looked_at_ = {};
    enum class Look : std::uint8_t { idle, posted } look_ = Look::idle;
    boost::asio::steady_timer timer_;
    std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace uidnfs::plugins
