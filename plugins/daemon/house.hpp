// SPDX-License-Identifier: Apache-2.0
// House: the parts of a serving daemon, in the order in which they stand on each other: mounter,
// store, directory, volumes, what watches them, and the platforms in front. Lives on the reactor's
// thread; owned by the service.
#pragma once

#include "core/reactor.hpp"
#include "plugins/core/file_system.hpp"
#include "plugins/core/store.hpp"
#include "plugins/core/volumes.hpp"
#include "plugins/daemon/ldap_identities.hpp"
#include "plugins/daemon/live.hpp"
#include "plugins/daemon/platforms.hpp"
#include "plugins/mounter/mounter_client.hpp"
#include "plugins/observe/admin_routes.hpp"
#include "plugins/observe/audit_log.hpp"
#include "plugins/observe/connection_audit.hpp"
#include "plugins/observe/daemon_health.hpp"
#include "plugins/observe/health_watch.hpp"
#include "plugins/observe/metrics.hpp"
#include "plugins/observe/observers.hpp"
#include "plugins/observe/recheck_driver.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins {

class House {
public:
    struct Hooks {
        std::function<void()> gone;  ///< the mounter ended, and with it everything here
        /// `peer` asked for it on the admin socket.
        std::function<ReloadReport(std::string_view peer)> reload;
    };

    /// What only root can make.
    struct Ground {
        core::Fd mounter;
        std::unique_ptr<AuditSink> audit;  ///< nothing: in a directory of the service user's
    };

    /// As root: starts the mounter, makes the directories, opens an audit that is root's to open.
    static core::Outcome<Ground> prepare(
        const Live& live, const Environment& environment, const ServiceUser& user
    );
    /// As the service user. Errors: the audit cannot be opened.
    static core::Outcome<std::unique_ptr<House>> make(
        core::Reactor& reactor, Live& live, Ground ground, Hooks hooks
    );

    House(const House&) = delete;
    House& operator=(const House&) = delete;

    /// As the service user: finds what is mounted again, and serves.
    core::Outcome<void> open(Doors& doors);
    /// The configuration that was read again is in force.
    void reloaded();
    AuditLog& audit() noexcept { return audit_; }
    void close();

private:
    House(core::Reactor& reactor, Live& live, Ground ground, Hooks hooks);

    /// What every Mount is asked before its options are looked at.
    class Gate final : public Preparer {
    public:
        explicit Gate(House& house) : house_(house) {}
        core::Task<core::Outcome<MountSpec>> prepare(
            VolumeKey volume,
            DefinitionPtr definition,
            core::SteadyTime deadline,
            std::stop_token unwanted
        ) override;

    private:
        House& house_;
    };

    core::Task<> reload_mounter();
    void take_rules();
    void wait_for_restored();
    void look_around() const;

    core::Reactor& reactor_;
    Live& live_;
    MountPreparer::RulesPtr rules_;
    PosixFileSystem files_;
    Store store_;
    mounter::MounterClient mounter_;
    LdapIdentities identities_;
    MountPreparer preparer_;
    Gate gate_;
    AuditLog audit_;
    ConnectionAudit connections_;
    DaemonHealth daemon_health_;
    Metrics metrics_;
    RecheckDriver recheck_;
    HealthWatch health_;
    Observers observers_;
    Volumes volumes_;
    MetricsRoutes metrics_routes_;
    AdminRoutes admin_routes_;
    Platforms platforms_;
    Hooks hooks_;
};

}  // namespace uidnfs::plugins
