// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/house.hpp"

#include "core/log.hpp"
#include "plugins/daemon/roles.hpp"
#include "plugins/daemon/rules.hpp"
#include "plugins/observe/mounted_volume.hpp"

#include <boost/json/array.hpp>
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
    std::function<void()> gone
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
        new House(reactor, live, std::move(*mounter), std::move(*sink), std::move(gone))
    );
}

House::House(
    core::Reactor& reactor,
    Live& live,
    core::Fd mounter,
    std::unique_ptr<AuditSink> sink,
    std::function<void()> gone
)
    : reactor_(reactor),
      live_(live),
      store_(files_, {live.settings()->mounts.state_dir, live.settings()->mounts.run_dir}),
      mounter_(reactor, std::move(mounter), live.settings()->mounts.root),
      identities_(reactor, [this] { return live_.directory(); }),
      preparer_({[this] { return rules_; }, identities_, credentials_of(live.path())}),
      gate_(*this),
      audit_(std::move(sink), audit_options(live.settings()->audit)),
      health_({reactor, mounter_, [this] { return mounted_volumes(volumes_); }}, {}),
      observers_({&audit_, &health_}),
      volumes_({reactor, store_, mounter_, gate_, observers_}, limits_of(*live.settings())),
      platforms_(reactor, volumes_, preparer_),
      gone_(std::move(gone)) {
    take_rules();
}

core::Outcome<void> House::open(Doors& doors) {
    mounter_.listen(
        {[this](const VolumeKey& key, WorkerId worker, Ended ended) {
             volumes_.worker_ended(key, worker, std::move(ended));
         },
         gone_}
    );
    if (auto restored = volumes_.restore(); !restored) return restored;
    health_.start();
    return platforms_.serve(doors, *live_.settings());
}

void House::reloaded(const std::vector<std::string>& changes) {
    take_rules();
    audit_.reopen();
    boost::json::array lines;
    for (const auto& change : changes) lines.emplace_back(change);
    audit_.record("reload", {{"changes", std::move(lines)}});
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
    rules_ = std::make_shared<const OptionRules>(rules_of(*live_.settings()));
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
