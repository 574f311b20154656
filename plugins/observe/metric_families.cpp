// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/metric_families.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace uidnfs::plugins {

using prometheus::ClientMetric;
using prometheus::MetricType;

namespace {

ClientMetric::Histogram histogram_of(
    const ProcedureCounts& procedure, const std::vector<double>& bounds
) {
    ClientMetric::Histogram histogram;
    histogram.sample_count = static_cast<std::uint64_t>(procedure.calls);
    histogram.sample_sum = procedure.seconds;
    double sum = 0;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
        if (i < procedure.latency.size()) sum += procedure.latency[i];
        histogram.bucket.push_back({static_cast<std::uint64_t>(sum), bounds[i]});
    }
    return histogram;
}

}  // namespace

FamilyOf::FamilyOf(MetricType type, const char* name, const char* help) {
    family_.name = name;
    family_.help = help;
    family_.type = type;
}

FamilyOf& FamilyOf::add(Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    if (family_.type == MetricType::Counter) {
        metric.counter.value = value;
    } else {
        metric.gauge.value = value;
    }
    family_.metric.push_back(std::move(metric));
    return *this;
}

FamilyOf& FamilyOf::add(Labels labels, ClientMetric::Histogram histogram) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.histogram = std::move(histogram);
    family_.metric.push_back(std::move(metric));
    return *this;
}

Labels of_plugin(Dialect dialect) { return {{"plugin", std::string(to_string(dialect))}}; }

void add_counter(Families& families, const char* name, const char* help, double value) {
    families.push_back(FamilyOf(MetricType::Counter, name, help).add({}, value).take());
}

void add_gauge(Families& families, const char* name, const char* help, double value) {
    families.push_back(FamilyOf(MetricType::Gauge, name, help).add({}, value).take());
}

void add_volumes(Families& families, const Gauges& gauges) {
    FamilyOf mounts(MetricType::Gauge, "uidnfs_mounts", "Volumes by platform and state.");
    for (const auto& [what, count] : gauges.volumes) {
        auto labels = of_plugin(what.first);
        labels.push_back({"state", std::string(to_string(what.second))});
        mounts.add(std::move(labels), static_cast<double>(count));
    }
    families.push_back(mounts.take());
    FamilyOf health(
        MetricType::Gauge, "uidnfs_mounts_by_health", "Mounts by what their workers say."
    );
    for (const auto& [state, count] : gauges.health) {
        health.add({{"health", std::string(to_string(state))}}, static_cast<double>(count));
    }
    families.push_back(health.take());
    add_gauge(
        families,
        "uidnfs_audit_waiting_lines",
        "Lines of the audit that cannot be written yet.",
        static_cast<double>(gauges.audit_waiting)
    );
    add_gauge(
        families,
        "uidnfs_damaged_state_files",
        "Files of volumes that are unknown because of it.",
        static_cast<double>(gauges.damaged_state_files)
    );
    add_counter(
        families,
        "uidnfs_audit_lost_lines_total",
        "Lines of the audit that are lost.",
        static_cast<double>(gauges.audit_lost)
    );
}

void add_calls(Families& families, const WorkerCounts& totals) {
    FamilyOf calls(MetricType::Counter, "uidnfs_nfs_calls_total", "NFS calls that ended.");
    FamilyOf errors(MetricType::Counter, "uidnfs_nfs_errors_total", "NFS calls that failed.");
    FamilyOf times(
        MetricType::Histogram,
        "uidnfs_nfs_call_duration_seconds",
        "From the first sending of an NFS call to its end."
    );
    for (const auto& [name, procedure] : totals.procedures) {
        calls.add({{"procedure", name}}, procedure.calls);
        errors.add({{"procedure", name}}, procedure.errors);
        times.add({{"procedure", name}}, histogram_of(procedure, totals.latency_bounds));
    }
    families.push_back(calls.take());
    families.push_back(errors.take());
    families.push_back(times.take());
    const struct {
        const char* name;
        const char* help;
        double value;
    } kCounters[] = {
        {"uidnfs_nfs_retransmits_total", "NFS calls sent again.", totals.retransmits},
        {"uidnfs_nfs_reconnects_total", "Connections made anew.", totals.reconnects},
        {"uidnfs_nfs_sent_bytes_total", "Bytes sent to NFS servers.", totals.bytes_sent},
        {"uidnfs_nfs_received_bytes_total",
         "Bytes received from NFS servers.",
         totals.bytes_received},
        {"uidnfs_write_errors_total", "Writes that a server refused.", totals.write_errors},
        {"uidnfs_refused_callers_total",
         "Processes that a mount was not for.",
         totals.refused_callers},
    };
    for (const auto& [name, help, value] : kCounters) add_counter(families, name, help, value);
}

}  // namespace uidnfs::plugins
