// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/house.hpp"

#include "core/log.hpp"
#include "plugins/daemon/roles.hpp"
#include "plugins/daemon/rules.hpp"
#include "plugins/observe/mounted_volume.hpp"

#include <fmt/format.h>

#include <cerrno>

namespace uidnfs::plugins {
namespace {

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

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

core::Outcome<std::unique_ptr<House>> House::make(
    core::Reactor& reactor,
    Live& live,
    const Environment& environment,
    const ServiceUser& user,
    Hooks hooks
) {
    const auto& settings = *live.settings();
    auto mounter = start_mounter(live.path(), environment);
    if (!mounter) return mounter.error();
    std::vector<std::string> directories{
        settings.mounts.state_dir + "/definitions", settings.mounts.run_dir + "/live"};
    if (settings.ldap && !settings.ldap->cache_file.empty()) {
        directories.push_back(directory_of(settings.ldap->cache_file));
    }
    for (const auto& directory : directories) {
        if (auto given = give_directory(directory, user); !given) return given.error();
    }
    auto sink = open_audit_sink(settings.audit.destination);
    if (!sink) return sink.error();
    return std::unique_ptr<House>(
        new House(reactor, live, std::move(*mounter), std::move(*sink), std::move(hooks))
    );
}

House::House(
    core::Reactor& reactor,
    Live& live,
    core::Fd mounter,
    std::unique_ptr<AuditSink> sink,
    Hooks hooks
)
    : reactor_(reactor),
      live_(live),
      store_(files_, {live.settings()->mounts.state_dir, live.settings()->mounts.run_dir}),
      mounter_(reactor, std::move(mounter), live.settings()->mounts.root),
      identities_(reactor, [this] { return live_.directory(); }),
      preparer_({[this] { return rules_; }, identities_, credentials_of(live.path())}),
      gate_(*this),
      audit_(std::move(sink), audit_options(live.settings()->audit)),
      metrics_(
          {[this] { return read_gauges(volumes_, health_, audit_, live_.directory().get()); },
           live.settings()->admin.metrics_per_volume ? Metrics::PerVolume::yes
                                                     : Metrics::PerVolume::no}
      ),
      health_(
          {reactor, mounter_, [this] { return mounted_volumes(volumes_); }, {&audit_, &metrics_}},
          {}
      ),
      observers_({&audit_, &metrics_, &health_}),
      volumes_({reactor, store_, mounter_, gate_, observers_}, limits_of(*live.settings())),
      metrics_routes_({metrics_, [this] { return check_health(); }}),
      admin_routes_(
          {metrics_routes_,
           volumes_,
           health_,
           mounter_,
           audit_,
           [this](std::string_view peer) { return hooks_.reload(peer); }}
      ),
      platforms_(reactor, volumes_, preparer_),
      recheck_({reactor, [this] { return mounted_volumes(volumes_); }, audit_, metrics_}),
      hooks_(std::move(hooks)) {
    take_rules();
}

core::Outcome<void> House::open(Doors& doors) {
    mounter_.listen(
        {[this](const VolumeKey& key, WorkerId worker, Ended ended) {
             volumes_.worker_ended(key, worker, std::move(ended));
         },
         hooks_.gone}
    );
    if (auto restored = volumes_.restore(); !restored) return restored;
    health_.start();
    auto& server = platforms_.server();
    server.serve(std::move(*doors.admin), admin_routes_, nullptr, http::Server::root_only());
    if (doors.metrics) server.serve(std::move(*doors.metrics), metrics_routes_, nullptr);
    return platforms_.serve(doors, *live_.settings());
}

core::Outcome<void> House::check_health() const {
    if (mounter_.is_gone()) {
        return core::Failure{EPIPE, "the mounter process ended; the service ends and is restarted"};
    }
    return {};
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
    if (mounted_volumes(house_.volumes_).size() >= most) {
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
