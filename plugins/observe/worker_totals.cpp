// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/worker_totals.hpp"

#include <boost/json.hpp>

#include <utility>

namespace uidnfs::plugins {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxProcedures = 64;  // the protocol has 22
constexpr std::size_t kMaxClasses = 64;

const json::object& object_of(const json::object& parent, std::string_view name) {
    static const json::object kNone;
    const auto* value = parent.if_contains(name);
    return value && value->is_object() ? value->get_object() : kNone;
}

double number(const json::value& value) {
    boost::system::error_code error;
    const auto read = value.to_number<double>(error);
    return error || !(read >= 0) ? 0 : read;
}

double number_of(const json::object& parent, std::string_view name) {
    const auto* value = parent.if_contains(name);
    return value ? number(*value) : 0;
}

std::vector<double> numbers_of(const json::object& parent, std::string_view name) {
    std::vector<double> numbers;
    const auto* value = parent.if_contains(name);
    if (!value || !value->is_array() || value->get_array().size() > kMaxClasses) return numbers;
    for (const auto& item : value->get_array()) numbers.push_back(number(item));
    return numbers;
}

double total_calls(const WorkerCounts& counts) {
    double total = 0;
    for (const auto& [name, procedure] : counts.procedures) total += procedure.calls;
    return total;
}

void add(ProcedureCounts& total, const ProcedureCounts& now, const ProcedureCounts& before) {
    total.calls += now.calls - before.calls;
    total.errors += now.errors - before.errors;
    total.seconds += now.seconds - before.seconds;
    if (total.latency.size() < now.latency.size()) total.latency.resize(now.latency.size());
    for (std::size_t i = 0; i < now.latency.size(); ++i) {
        total.latency[i] += now.latency[i] - (i < before.latency.size() ? before.latency[i] : 0);
    }
}

}  // namespace

WorkerCounts read_counts(const json::object& status) {
    const auto& calls = object_of(status, "calls");
    const auto& cache = object_of(status, "cache");
    WorkerCounts counts;
    counts.retransmits = number_of(calls, "retransmits");
    counts.reconnects = number_of(calls, "reconnects");
    counts.bytes_sent = number_of(calls, "bytes_sent");
    counts.bytes_received = number_of(calls, "bytes_received");
    counts.write_errors = number_of(cache, "write_errors");
    counts.refused_callers = number_of(cache, "refused_callers");
    counts.latency_bounds = numbers_of(calls, "latency_bounds");
    for (const auto& [name, value] : object_of(calls, "procedures")) {
        if (!value.is_object() || counts.procedures.size() >= kMaxProcedures) continue;
        const auto& procedure = value.get_object();
        auto& read = counts.procedures[std::string(name)];
        read.calls = number_of(procedure, "count");
        read.errors = number_of(procedure, "errors");
        read.seconds = number_of(procedure, "total_seconds");
        read.latency = numbers_of(procedure, "latency");
        if (read.latency.size() != counts.latency_bounds.size() + 1) read.latency.clear();
    }
    return counts;
}

void WorkerTotals::take(const WorkerId& keeper, WorkerCounts now) {
    if (totals_.latency_bounds.empty()) totals_.latency_bounds = now.latency_bounds;
    if (now.latency_bounds != totals_.latency_bounds) {
        // Of another version; its times cannot be told in our classes.
        for (auto& [name, procedure] : now.procedures) procedure.latency.clear();
    }
    auto& last = last_[keeper];
    // A keeper that started its worker anew: all of it counts from 0 then.
    if (total_calls(now) < total_calls(last)) last = {};
    totals_.retransmits += now.retransmits - last.retransmits;
    totals_.reconnects += now.reconnects - last.reconnects;
    totals_.bytes_sent += now.bytes_sent - last.bytes_sent;
    totals_.bytes_received += now.bytes_received - last.bytes_received;
    totals_.write_errors += now.write_errors - last.write_errors;
    totals_.refused_callers += now.refused_callers - last.refused_callers;
    for (const auto& [name, procedure] : now.procedures) {
        add(totals_.procedures[name], procedure, last.procedures[name]);
    }
    last = std::move(now);
}

void WorkerTotals::forget(const WorkerId& keeper) { last_.erase(keeper); }

}  // namespace uidnfs::plugins
