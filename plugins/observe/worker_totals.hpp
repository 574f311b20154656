// SPDX-License-Identifier: Apache-2.0
// WorkerTotals: what all workers ever counted, in all. A worker counts from its own start; here
// nothing goes backwards, whichever of them ends or is started anew. Pure.
#pragma once

#include "plugins/core/live_record.hpp"

#include <boost/json/object.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::plugins {

/// A sum of what is counted from 0 again and again.
class Monotone {
public:
    void take(double now) {
        sum_ += now >= last_ ? now - last_ : now;
        last_ = now;
    }
    double sum() const noexcept { return sum_; }

private:
    double sum_ = 0;
    double last_ = 0;
};

struct ProcedureCounts {
    double calls = 0;
    double errors = 0;
    double seconds = 0;
    std::vector<double> latency = {};  ///< by time, each call in one class
};

/// Of one worker, or of all.
struct WorkerCounts {
    std::uint32_t worker = 0;  ///< its pid
    double retransmits = 0;
    double reconnects = 0;
    double bytes_sent = 0;
    double bytes_received = 0;
    double write_errors = 0;
    double refused_callers = 0;
    std::vector<double> latency_bounds = {};  ///< seconds
    std::map<std::string, ProcedureCounts> procedures = {};
};

/// Of `uidnfs status --json`; what is not there or no number is 0. Nothing where the keeper answers
/// for a worker that does not: it knows none of this.
std::optional<WorkerCounts> read_counts(const boost::json::object& status);

/// What was counted before a worker was heard of: by a mount of this daemon's time, or of the time
/// of one before it, which has told it.
enum class Past : std::uint8_t { counts, was_told };

class WorkerTotals {
public:
    /// What that worker counted since its start. Another one, or fewer calls than before: it was
    /// started anew.
    void take(const WorkerId& keeper, WorkerCounts now, Past past = Past::counts);
    void forget(const WorkerId& keeper);

    const WorkerCounts& totals() const noexcept { return totals_; }

private:
    struct ById {
        bool operator()(const WorkerId& a, const WorkerId& b) const noexcept {
            return a.pid != b.pid ? a.pid < b.pid : a.start_time < b.start_time;
        }
    };
    WorkerCounts totals_;
    std::map<WorkerId, WorkerCounts, ById> last_;
};

}  // namespace uidnfs::plugins
