// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/house.hpp"

#include "control/mountinfo.hpp"
#include "core/log.hpp"
#include "plugins/daemon/roles.hpp"
#include "plugins/daemon/rules.hpp"
#include "plugins/observe/mounted_volume.hpp"
#include "plugins/settings/secret_file.hpp"

#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <set>

namespace uidnfs::plugins {
namespace {

// Platforms have the most there may be; these are for a few scripts and scrapers.
constexpr std::size_t kAdminConnections = 16;
constexpr std::size_t kMetricsConnections = 32;

Store::Directories directories_of(const Settings& settings) {
    return {settings.mounts.state_dir, settings.mounts.run_dir};
}

/// credentials=NAME is a file beside the configuration.
std::string credentials_of(const std::string& config) {
    const auto slash = config.rfind('/');
    return (slash == std::string::npos ? "." : config.substr(0, slash)) + "/credentials";
}

AuditLog::Options audit_options(const AuditSettings& settings) {
    AuditLog::Options options;
    if (settings.when_unwritable == WhenUnwritable::refuse) {
        options.when_unwritable = AuditLog::WhenUnwritable::refuse;
    }
    return options;
}

/// Whether PID 1, where the container engine usually is, sees other mounts than we do.
bool is_own_namespace() {
    struct stat ours {};
    struct stat first {};
    return ::stat("/proc/self/ns/mnt", &ours) == 0 && ::stat("/proc/1/ns/mnt", &first) == 0 &&
           ours.st_ino != first.st_ino;
}

/// REQUIRES: root's rights, which it takes to see the namespace of PID 1.
void tell_of_hidden_mounts(const std::string& root) {
    if (!is_own_namespace()) return;
    const auto mounts = control::read_mountinfo();
    if (!mounts) return;
    const auto* below = control::find_below(*mounts, root);
    if (below && below->propagation.find("shared:") == std::string::npos) {
        core::log::warning(
            "volumes will not be seen by the container engine: this service has a mount namespace "
            "of its own, and {} is not shared with the host; start it without sandboxing "
            "(ProtectSystem=, PrivateTmp= and the like), or make it shared",
            below->mountpoint
        );
    }
}

/// The audit is opened again at each reload, by the service user. Nothing here is the end: who
/// opens it says why not. In a directory that is not root's alone the service user opens it at the
/// start too, since a name there may lead anywhere: nothing then.
core::Outcome<std::unique_ptr<AuditSink>> prepare_audit(
    const std::string& destination, const ServiceUser& user
) {
    if (destination != "journal") {
        if (const auto given = give_file(destination, user); !given) {
            core::log::warning(
                "the audit will not be opened again at a reload or after a rotation: {}",
                given.error().user_text
            );
        }
        if (!is_roots_directory(directory_of(destination), user)) return {nullptr};
    }
    return open_audit_sink(destination);
}

}  // namespace

core::Outcome<House::Ground> House::prepare(
    const Live& live, const Environment& environment, const ServiceUser& user
) {
    const auto& settings = *live.settings();
    auto mounter = start_mounter(live.path(), environment);
    if (!mounter) return mounter.error();
    tell_of_hidden_mounts(settings.mounts.root);
    const auto directories = directories_of(settings);
    for (const auto& directory : {directories.definitions(), directories.live()}) {
        if (auto given = give_directory(directory, user); !given) return given.error();
    }
    if (settings.ldap && !settings.ldap->cache_file.empty()) {
        // An operator may have chosen /var/lib: one that is there stays whose it is.
        const auto directory = directory_of(settings.ldap->cache_file);
        if (auto fits = check_writable(directory, user); !fits) return fits.error();
    }
    if (settings.ldap && !settings.ldap->ca_file.empty()) {
        // Opened anew for each connection, by the service user.
        if (const auto fits = check_readable(settings.ldap->ca_file, user); !fits) {
            core::log::warning(
                "no directory server can be asked over TLS: {}", fits.error().user_text
            );
        }
    }
    auto audit = prepare_audit(settings.audit.destination, user);
    if (!audit) return audit.error();
    return Ground{std::move(*mounter), std::move(*audit)};
}

core::Outcome<std::unique_ptr<House>> House::make(
    core::Reactor& reactor, Live& live, Ground ground, Hooks hooks
) {
    if (!ground.audit) {
        auto sink = open_audit_sink(live.settings()->audit.destination);
        if (!sink) return sink.error();
        ground.audit = std::move(*sink);
    }
    return std::unique_ptr<House>(new House(reactor, live, std::move(ground), std::move(hooks)));
}

House::House(core::Reactor& reactor, Live& live, Ground ground, Hooks hooks)
    : reactor_(reactor),
      live_(live),
      store_(files_, directories_of(*live.settings())),
      mounter_(reactor, std::move(ground.mounter), live.settings()->mounts.root),
      identities_(reactor, [this] { return live_.directory(); }),
      preparer_({[this] { return rules_; }, identities_, credentials_of(live.path())}),
      gate_(*this),
      audit_(std::move(ground.audit), audit_options(live.settings()->audit)),
      connections_(audit_),
      daemon_health_(
          {directories_of(*live.settings()).definitions(), directories_of(*live.settings()).live()}
      ),
      metrics_(
          {[this] {
               return read_gauges(volumes_, health_, audit_, store_, live_.directory().get());
           },
           live.settings()->admin.metrics_per_volume ? Metrics::PerVolume::yes
                                                     : Metrics::PerVolume::no}
      ),
      recheck_(
          {reactor,
           [this] { return mounted_volumes(volumes_); },
           audit_,
           metrics_,
           mounter_,
           {},
           [this](const VolumeKey& volume) { health_.ask_soon(volume); }}
      ),
      health_(
          {reactor,
           mounter_,
           [this] { return mounted_volumes(volumes_); },
           [this](const VolumeKey& volume, const WorkerId& worker) {
               return stays(volumes_, volume, worker);
           },
           {&audit_, &connections_, &metrics_, &recheck_.listener()},
           [this](const WorkerId& keeper) { return connections_.written(keeper); }},
          {}
      ),
      observers_({&connections_, &audit_, &metrics_, &health_}),
      volumes_(
          {reactor,
           store_,
           mounter_,
           gate_,
           observers_,
           [this](VolumeKey key) { return health_.ask_last(std::move(key)); }},
          limits_of(*live.settings())
      ),
      metrics_routes_({metrics_, [this] { return daemon_health_.check(); }}),
      admin_routes_(
          {metrics_routes_,
           volumes_,
           health_,
           mounter_,
           audit_,
           [this](std::string_view peer) { return hooks_.reload(peer); }}
      ),
      platforms_(reactor, volumes_, preparer_),
      hooks_(std::move(hooks)) {}

core::Outcome<void> House::open(Doors& doors) {
    take_rules();
    mounter_.listen(
        {[this](const VolumeKey& key, WorkerId worker, Ended ended) {
             volumes_.worker_ended(key, worker, std::move(ended));
         },
         [this](const VolumeKey& key, WorkerId worker, std::string_view connections) {
             connections_.ended(key, worker, connections);
         },
         [this](const VolumeKey& key, KeeperNews news, std::string text) {
             volumes_.keeper_told(key, news, std::move(text));
         },
         [this] {
             daemon_health_.mounter_gone();
             hooks_.gone();
         }}
    );
    if (auto restored = volumes_.restore(); !restored) return restored;
    daemon_health_.set_damaged_files(store_.damaged().size());
    wait_for_restored();
    for (const auto& volume : mounted_volumes(volumes_)) connections_.know(volume);
    look_around();
    health_.start();
    auto& server = platforms_.server();
    server.serve(
        std::move(*doors.admin),
        admin_routes_,
        {.peers = http::Server::root_only(), .connections = kAdminConnections}
    );
    if (doors.metrics) {
        server.serve(
            std::move(*doors.metrics), metrics_routes_, {.connections = kMetricsConnections}
        );
    }
    return platforms_.serve(doors, *live_.settings());
}

/// A platform that asks right after a restart hears of every volume that is mounted.
void House::wait_for_restored() {
    constexpr std::chrono::seconds kLongest{5};
    const auto limit = std::chrono::steady_clock::now() + kLongest;
    boost::asio::steady_timer alarm(reactor_.io(), limit);
    alarm.async_wait([](const boost::system::error_code&) {});
    reactor_.run_until([&] {
        return !volumes_.is_restoring() || std::chrono::steady_clock::now() >= limit;
    });
}

/// What an operator should know of before somebody wonders.
void House::look_around() const {
    const auto& root = live_.settings()->mounts.root;
    const auto mounts = control::read_mountinfo();
    if (!mounts) return;
    std::set<std::string> known;
    for (const auto dialect : {Dialect::docker, Dialect::cloudfoundry}) {
        for (const auto& volume : volumes_.list(dialect)) {
            known.insert(mount_path(root, directory_name({dialect, volume.name})));
        }
    }
    for (const auto& mount : *mounts) {
        if (!mount.mountpoint.starts_with(root + "/") || known.contains(mount.mountpoint)) continue;
        core::log::warning(
            "{} is mounted and belongs to no volume; it stays as it is; uidnfs umount {}",
            mount.mountpoint,
            mount.mountpoint
        );
    }
}

void House::reloaded() {
    take_rules();
    audit_.reopen();
    core::spawn(reload_mounter());
}

core::Task<> House::reload_mounter() {
    auto task = mounter_.reload();
    const auto done = co_await task;
    if (!done) core::log::error("the mounter keeps its policy: {}", done.error().user_text);
}

void House::close() {
    platforms_.withdraw();
    platforms_.server().stop_accepting();
}

void House::take_rules() {
    const auto& settings = *live_.settings();
    // Without [ldap] there is nobody to ask, whatever the options are.
    static const ldap::Options none;
    recheck_.use(live_.directory(), settings.ldap ? *settings.ldap : none);
    rules_ = std::make_shared<const OptionRules>(rules_of(settings));
}

core::Task<core::Outcome<MountSpec>> House::Gate::prepare(
    VolumeKey volume, DefinitionPtr definition, core::SteadyTime deadline, std::stop_token unwanted
) {
    const auto most = house_.live_.settings()->workers.max_mounts;
    if (house_.volumes_.count_mounted() >= most) {
        co_return core::Failure{
            EUSERS,
            fmt::format(
                "this machine has {} volumes mounted, which is the most it may (max_mounts); stop "
                "applications, or ask the operator to raise it",
                most
            )};
    }
    const std::string source = definition ? definition->source : "";
    if (auto may = house_.audit_.may_mount(volume, source); !may) co_return may.error();
    auto task = house_.preparer_.prepare(
        std::move(volume), std::move(definition), deadline, std::move(unwanted)
    );
    co_return co_await task;
}

}  // namespace uidnfs::plugins
