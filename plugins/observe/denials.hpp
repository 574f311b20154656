// SPDX-License-Identifier: Apache-2.0
// Denials: which live mounts are to be without access, and the orders to their workers until each
// is as it should be. An order that is not answered is given again; a worker says in its status
// whether it is denied, so that a daemon that starts knows those of the one before. Lives on the
// reactor's thread; owned by RecheckDriver.
#pragma once

#include "core/reactor.hpp"
#include "plugins/core/inspector.hpp"
#include "plugins/observe/audit_log.hpp"
#include "plugins/observe/metrics.hpp"
#include "plugins/observe/mounted_volume.hpp"

#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace uidnfs::plugins {

class Denials final : public StatusListener {
public:
    struct Deps {
        core::Reactor& reactor;
        Inspector& inspector;
        AuditLog& audit;
        Metrics& metrics;
        /// Access was taken or given: whoever asks workers how they are learns it soon.
        std::function<void(const VolumeKey&)> changed = {};
    };
    struct Limits {
        core::SteadyDuration answer = std::chrono::seconds(6);
        core::SteadyDuration retry = std::chrono::seconds(5);
        /// A status that was on its way during an order says nothing.
        core::SteadyDuration settling = std::chrono::seconds(3);
    };

    Denials(Deps deps, Limits limits);
    Denials(const Denials&) = delete;
    Denials& operator=(const Denials&) = delete;
    ~Denials() override;

    void take_away(const MountedVolume& volume, const std::string& reason);
    void give_back(const VolumeKey& volume);
    /// `release`: all that are denied get access back, also those that are found later.
    enum class Mode : std::uint8_t { enforce, release };
    void set_mode(Mode mode);

    void status_told(const MountedVolume& volume, const boost::json::object& status) override;
    void worker_gone(const MountedVolume& volume) override;

    /// Those that should be without access.
    std::vector<VolumeKey> denied() const;
    /// What whoever decides does not know, since the last call.
    struct News {
        std::vector<VolumeKey> found;  ///< a worker said that it is denied
        std::vector<VolumeKey> gone;   ///< its worker ended: a mount of that name is another one
    };
    News take_news();

private:
    enum class Access : std::uint8_t { given, denied, unknown };
    struct Entry {
        MountedVolume volume;
        std::string reason;
        Access wanted = Access::given;
        Access is = Access::given;
        enum class Order : std::uint8_t { none, given } order = Order::none;
        core::SteadyTime settled_at = {};
    };

    void act(const VolumeKey& volume);
    core::Task<> carry_out(Entry entry, std::weak_ptr<void> alive);
    void took_away(const Entry& entry, const std::vector<std::string>& lost);
    void gave_back(const Entry& entry);
    void failed(Entry& entry, const core::Failure& failure);
    void retry_later();
    void count();

    Deps deps_;
    Limits limits_;
    Mode mode_ = Mode::enforce;
    std::map<VolumeKey, Entry> entries_;
    News news_;
    boost::asio::steady_timer timer_;
    enum class Retry : std::uint8_t { none, planned } retry_ = Retry::none;
    std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace uidnfs::plugins
