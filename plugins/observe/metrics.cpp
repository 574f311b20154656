// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/metrics.hpp"

#include "core/text.hpp"
#include "plugins/observe/metric_families.hpp"
#include "plugins/observe/worker_totals.hpp"

#include <boost/json.hpp>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace uidnfs::plugins {
namespace {

const prometheus::Histogram::BucketBoundaries kMountBounds{
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 7.5, 10};

constexpr std::uint64_t kLastReserved = 1023;

std::string code_name(int code) {
    const char* name = ::strerrorname_np(code);
    return name && code != 0 ? name : "unknown";
}

std::uint64_t unsigned_of(const boost::json::object& status, std::string_view name) {
    const auto* value = status.if_contains(name);
    if (!value) return 0;
    boost::system::error_code error;
    const auto number = value->to_number<std::uint64_t>(error);
    return error ? 0 : number;
}

/// How many connections of a mount that wants reserved ports have none; nothing where only its
/// keeper answers.
std::optional<std::uint64_t> unreserved_ports_of(const boost::json::object& status) {
    const auto* options = status.if_contains("options");
    const auto* ports = status.if_contains("local_ports");
    if (!ports || !ports->is_array() || !options || !options->is_object()) return std::nullopt;
    if (!options->get_object().contains("resvport")) return 0;
    std::uint64_t count = 0;
    for (const auto& port : ports->get_array()) {
        boost::system::error_code error;
        const auto number = port.to_number<std::uint64_t>(error);
        if (!error && number > kLastReserved) ++count;
    }
    return count;
}

}  // namespace

class Metrics::Impl {
public:
    explicit Impl(Deps deps) : deps_(std::move(deps)), began_(core::utc_time(deps_.began)) {
        // rate() does not see the first event of a series that begins with it. Other codes there
        // may be; these are those that refusals mostly have.
        constexpr std::array kCodes{
            EACCES, EBUSY, EINVAL, EIO, ENOENT, ENOSPC, EPERM, ETIMEDOUT, EUSERS};
        for (const auto dialect : {Dialect::docker, Dialect::cloudfoundry}) {
            const std::string plugin(to_string(dialect));
            for (const auto* result : {"ok", "refused"}) {
                requests_.Add({{"plugin", plugin}, {"result", result}});
            }
            for (const int code : kCodes) {
                errors_.Add({{"plugin", plugin}, {"code", code_name(code)}});
            }
        }
    }

    void decided(const Decision& decision) {
        const std::string plugin(to_string(decision.volume.dialect));
        if (decision.asked == Decision::Event::mount) {
            const bool is_refused = decision.event == Decision::Event::refused;
            requests_.Add({{"plugin", plugin}, {"result", is_refused ? "refused" : "ok"}}
            ).Increment();
            mount_time_.Observe(std::chrono::duration<double>(decision.took).count());
        }
        if (decision.event == Decision::Event::refused) {
            errors_.Add({{"plugin", plugin}, {"code", code_name(decision.code)}}).Increment();
        }
        if (decision.event == Decision::Event::worker_died) workers_died_.Increment();
        if (decision.event == Decision::Event::data_lost) data_lost_.Increment();
        if (decision.event == Decision::Event::keeper_lost) keepers_lost_.Increment();
        if (decision.event == Decision::Event::keeper_replaced) keepers_replaced_.Increment();
    }

    void status_told(const MountedVolume& volume, const boost::json::object& status) {
        if (auto counts = read_counts(status)) {
            const auto past = is_of_before(status) ? Past::was_told : Past::counts;
            totals_.take(volume.worker.id, std::move(*counts), past);
        }
        auto& live = live_[volume.key];
        // A worker that does not answer still has what it had.
        const auto* uncommitted = status.if_contains("bytes_not_committed");
        if (uncommitted && uncommitted->is_number()) {
            live.uncommitted = unsigned_of(status, "bytes_not_committed");
        }
        const auto pid = static_cast<std::uint32_t>(unsigned_of(status, "worker_pid"));
        live.resident = pid == 0 ? 0 : deps_.resident(pid).value_or(0);
        live.unreserved = unreserved_ports_of(status).value_or(live.unreserved);
        note_takeovers(live, status);
        const auto* state = status.if_contains("state");
        live.is_healthy = state && state->is_string() && state->get_string() == "healthy";
    }

    void worker_gone(const MountedVolume& volume) {
        totals_.forget(volume.worker.id);
        live_.erase(volume.key);
    }

    void set_lost_identities(std::size_t mounts) { lost_identities_ = mounts; }
    void set_denied_mounts(std::size_t mounts) { denied_mounts_ = mounts; }
    void count_denial() { denials_.Increment(); }

    std::string render() {
        auto families = registry_.Collect();
        const auto gauges = deps_.gauges();
        add_volumes(families, gauges);
        add_calls(families, totals_.totals());
        add_workers(families);
        if (gauges.directory) add_directory(families, *gauges.directory);
        if (deps_.per_volume == PerVolume::yes) add_each_volume(families);
        return prometheus::TextSerializer().Serialize(families);
    }

private:
    struct LiveWorker {
        std::uint64_t uncommitted = 0;
        std::uint64_t resident = 0;
        std::uint64_t unreserved = 0;
        bool is_healthy = false;
        std::optional<std::uint64_t> deaths = {};  ///< none: not told since this process began
    };

    /// A mount that was made before this process began.
    bool is_of_before(const boost::json::object& status) const {
        const auto* since = status.if_contains("since");
        return since && since->is_string() && since->get_string() < began_;
    }

    void note_takeovers(LiveWorker& live, const boost::json::object& status) {
        const auto* upgrades = status.if_contains("upgrades");
        // The keeper of an older version does not tell them from deaths.
        if (!upgrades || upgrades->is_null()) return;
        const auto takeovers = unsigned_of(status, "takeovers");
        const auto deaths = takeovers - std::min(takeovers, unsigned_of(status, "upgrades"));
        const auto unknown = is_of_before(status) ? deaths : 0;
        const auto before = std::exchange(live.deaths, deaths).value_or(unknown);
        if (deaths > before) workers_replaced_.Increment(static_cast<double>(deaths - before));
    }

    void add_workers(Families& families) const {
        double uncommitted = 0;
        double resident = 0;
        double unreserved = 0;
        for (const auto& [key, live] : live_) {
            uncommitted += static_cast<double>(live.uncommitted);
            resident += static_cast<double>(live.resident);
            unreserved += static_cast<double>(live.unreserved);
        }
        add_gauge(
            families, "uidnfs_uncommitted_bytes", "Acknowledged, and not yet durable.", uncommitted
        );
        add_gauge(families, "uidnfs_worker_resident_bytes", "Memory of all workers.", resident);
        add_gauge(
            families,
            "uidnfs_unreserved_connections",
            "Connections that found no reserved source port.",
            unreserved
        );
        add_gauge(
            families,
            "uidnfs_lost_identities",
            "Live mounts whose user the directory no longer knows as it was.",
            static_cast<double>(lost_identities_)
        );
        add_gauge(
            families,
            "uidnfs_denied_mounts",
            "Live mounts whose access is taken away, by recheck_action = deny.",
            static_cast<double>(denied_mounts_)
        );
        families.push_back(FamilyOf(prometheus::MetricType::Gauge, "uidnfs_build_info", "Always 1.")
                               .add({{"version", UIDNFS_VERSION}}, 1)
                               .take());
    }

    void add_directory(Families& families, const ldap::Directory::Counters& now) {
        FamilyOf lookups(
            prometheus::MetricType::Counter,
            "uidnfs_ldap_lookups_total",
            "Questions to LDAP servers."
        );
        for (std::size_t i = 0; i < ldap::kFailureKinds; ++i) {
            failures_[i].take(static_cast<double>(now.failures[i]));
            const auto kind = static_cast<ldap::FailureKind>(i);
            lookups.add({{"result", std::string(to_string(kind))}}, failures_[i].sum());
        }
        successes_.take(static_cast<double>(now.successes));
        lookups.add({{"result", "ok"}}, successes_.sum());
        families.push_back(lookups.take());
        cache_hits_.take(static_cast<double>(now.cache_hits));
        stale_hits_.take(static_cast<double>(now.stale_hits));
        add_counter(
            families, "uidnfs_ldap_cache_hits_total", "Answers from the cache.", cache_hits_.sum()
        );
        add_counter(
            families,
            "uidnfs_ldap_stale_hits_total",
            "Identities served while no LDAP server could be reached.",
            stale_hits_.sum()
        );
    }

    void add_each_volume(Families& families) const {
        FamilyOf healthy(
            prometheus::MetricType::Gauge, "uidnfs_volume_healthy", "1: its worker said so at last."
        );
        FamilyOf uncommitted(
            prometheus::MetricType::Gauge,
            "uidnfs_volume_uncommitted_bytes",
            "Acknowledged, not durable."
        );
        FamilyOf resident(
            prometheus::MetricType::Gauge, "uidnfs_volume_resident_bytes", "Memory of its worker."
        );
        for (const auto& [key, live] : live_) {
            auto labels = of_plugin(key.dialect);
            labels.push_back({"volume", key.name});
            healthy.add(labels, live.is_healthy ? 1 : 0);
            uncommitted.add(labels, static_cast<double>(live.uncommitted));
            resident.add(labels, static_cast<double>(live.resident));
        }
        families.push_back(healthy.take());
        families.push_back(uncommitted.take());
        families.push_back(resident.take());
    }

    Deps deps_;
    std::string began_;  ///< RFC 3339
    prometheus::Registry registry_;
    prometheus::Family<prometheus::Counter>& requests_ =
        prometheus::BuildCounter()
            .Name("uidnfs_mount_requests_total")
            .Help("Mounts that platforms asked for.")
            .Register(registry_);
    prometheus::Family<prometheus::Counter>& errors_ = prometheus::BuildCounter()
                                                           .Name("uidnfs_errors_total")
                                                           .Help("Commands that were refused.")
                                                           .Register(registry_);
    prometheus::Counter& workers_died_ = prometheus::BuildCounter()
                                             .Name("uidnfs_workers_died_total")
                                             .Help("Workers that ended unasked, with their mounts.")
                                             .Register(registry_)
                                             .Add({});
    prometheus::Counter& workers_replaced_ =
        prometheus::BuildCounter()
            .Name("uidnfs_workers_replaced_total")
            .Help("Workers that ended unasked and were replaced; applications saw a pause.")
            .Register(registry_)
            .Add({});
    prometheus::Counter& data_lost_ =
        prometheus::BuildCounter()
            .Name("uidnfs_data_lost_total")
            .Help("Mounts that ended with acknowledged bytes not written.")
            .Register(registry_)
            .Add({});
    prometheus::Counter& keepers_lost_ = prometheus::BuildCounter()
                                             .Name("uidnfs_keepers_lost_total")
                                             .Help("Keepers of mounts that were killed.")
                                             .Register(registry_)
                                             .Add({});
    prometheus::Counter& keepers_replaced_ =
        prometheus::BuildCounter()
            .Name("uidnfs_keepers_replaced_total")
            .Help("Mounts that got another keeper in the place of one that was killed.")
            .Register(registry_)
            .Add({});
    prometheus::Counter& denials_ =
        prometheus::BuildCounter()
            .Name("uidnfs_denials_total")
            .Help("Mounts whose access was taken away, by recheck_action = deny.")
            .Register(registry_)
            .Add({});
    prometheus::Histogram& mount_time_ = prometheus::BuildHistogram()
                                             .Name("uidnfs_mount_duration_seconds")
                                             .Help("From a platform's Mount to its answer.")
                                             .Register(registry_)
                                             .Add({}, kMountBounds);
    WorkerTotals totals_;
    std::map<VolumeKey, LiveWorker> live_;
    std::size_t lost_identities_ = 0;
    std::size_t denied_mounts_ = 0;
    std::array<Monotone, ldap::kFailureKinds> failures_;
    Monotone successes_;
    Monotone cache_hits_;
    Monotone stale_hits_;
};

Metrics::Metrics(Deps deps) : impl_(std::make_unique<Impl>(std::move(deps))) {}

Metrics::~Metrics() = default;

void Metrics::decided(const Decision& decision) { impl_->decided(decision); }

void Metrics::status_told(const MountedVolume& volume, const boost::json::object& status) {
    impl_->status_told(volume, status);
}

void Metrics::worker_gone(const MountedVolume& volume) { impl_->worker_gone(volume); }

void Metrics::set_lost_identities(std::size_t mounts) { impl_->set_lost_identities(mounts); }

void Metrics::set_denied_mounts(std::size_t mounts) { impl_->set_denied_mounts(mounts); }

void Metrics::count_denial() { impl_->count_denial(); }

std::string Metrics::render() { return impl_->render(); }

}  // namespace uidnfs::plugins
