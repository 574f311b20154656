// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/worker_totals.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace uidnfs::plugins {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxClasses = 64;
constexpr double kMost = 9007199254740992.0;  // 2^53: beyond it adding 1 changes nothing
/// RFC 1813, 3.3. A worker that was taken over may say anything, each time something else.
constexpr std::array<std::string_view, 22> kProcedures{
    "NULL",    "GETATTR",     "SETATTR", "LOOKUP", "ACCESS",   "READLINK", "READ",   "WRITE",
    "CREATE",  "MKDIR",       "SYMLINK", "MKNOD",  "REMOVE",   "RMDIR",    "RENAME", "LINK",
    "READDIR", "READDIRPLUS", "FSSTAT",  "FSINFO", "PATHCONF", "COMMIT"};

bool is_procedure(std::string_view name) {
    return std::find(kProcedures.begin(), kProcedures.end(), name) != kProcedures.end();
}

const json::object& object_of(const json::object& parent, std::string_view name) {
    static const json::object kNone;
    const auto* value = parent.if_contains(name);
    return value && value->is_object() ? value->get_object() : kNone;
}

double number(const json::value& value) {
    boost::system::error_code error;
    const auto read = value.to_number<double>(error);
    return error || !(read >= 0) || read > kMost ? 0 : read;
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

/// A sum never goes backwards: whoever reads it would take that for a new beginning.
double more(double now, double before) { return std::max(now - before, 0.0); }

void add(ProcedureCounts& total, const ProcedureCounts& now, const ProcedureCounts& before) {
    total.calls += more(now.calls, before.calls);
    total.errors += more(now.errors, before.errors);
    total.seconds += more(now.seconds, before.seconds);
    if (total.latency.size() < now.latency.size()) total.latency.resize(now.latency.size());
    for (std::size_t i = 0; i < now.latency.size(); ++i) {
        total.latency[i] += more(now.latency[i], i < before.latency.size() ? before.latency[i] : 0);
    }
}

}  // namespace

std::optional<WorkerCounts> read_counts(const json::object& status) {
    const auto* told = status.if_contains("calls");
    if (!told || !told->is_object()) return std::nullopt;
    const auto& calls = told->get_object();
    const auto& cache = object_of(status, "cache");
    WorkerCounts counts;
    const auto pid = number_of(status, "worker_pid");
    if (pid <= std::numeric_limits<std::uint32_t>::max()) {
        counts.worker = static_cast<std::uint32_t>(pid);
    }
    counts.retransmits = number_of(calls, "retransmits");
    counts.reconnects = number_of(calls, "reconnects");
    counts.bytes_sent = number_of(calls, "bytes_sent");
    counts.bytes_received = number_of(calls, "bytes_received");
    counts.write_errors = number_of(cache, "write_errors");
    counts.refused_callers = number_of(cache, "refused_callers");
    counts.latency_bounds = numbers_of(calls, "latency_bounds");
    for (const auto& [name, value] : object_of(calls, "procedures")) {
        if (!value.is_object() || !is_procedure(name)) continue;
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

void WorkerTotals::take(const WorkerId& keeper, WorkerCounts now, Past past) {
    if (totals_.latency_bounds.empty()) totals_.latency_bounds = now.latency_bounds;
    if (now.latency_bounds != totals_.latency_bounds) {
        // Of another version; its times cannot be told in our classes.
        for (auto& [name, procedure] : now.procedures) procedure.latency.clear();
    }
    const auto [known, is_first] = last_.try_emplace(keeper);
    auto& last = known->second;
    if (is_first && past == Past::was_told) {
        last = now;
    } else if (now.worker != last.worker || total_calls(now) < total_calls(last)) {
        last = {};  // its keeper started another one, which counts from 0
    }
    totals_.retransmits += more(now.retransmits, last.retransmits);
    totals_.reconnects += more(now.reconnects, last.reconnects);
    totals_.bytes_sent += more(now.bytes_sent, last.bytes_sent);
    totals_.bytes_received += more(now.bytes_received, last.bytes_received);
    totals_.write_errors += more(now.write_errors, last.write_errors);
    totals_.refused_callers += more(now.refused_callers, last.refused_callers);
    for (const auto& [name, procedure] : now.procedures) {
        add(totals_.procedures[name], procedure, last.procedures[name]);
    }
    last = std::move(now);
}

void WorkerTotals::forget(const WorkerId& keeper) { last_.erase(keeper); }

}  // namespace uidnfs::plugins
