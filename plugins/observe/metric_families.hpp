// SPDX-License-Identifier: Apache-2.0
// Families of metrics whose values are known when they are read, as prometheus-cpp writes them.
#pragma once

#include "plugins/core/volume.hpp"
#include "plugins/observe/gauges.hpp"
#include "plugins/observe/worker_totals.hpp"

#include <prometheus/metric_family.h>

#include <utility>
#include <vector>

namespace uidnfs::plugins {

using Families = std::vector<prometheus::MetricFamily>;
using Labels = std::vector<prometheus::ClientMetric::Label>;

class FamilyOf {
public:
    FamilyOf(prometheus::MetricType type, const char* name, const char* help);
    FamilyOf& add(Labels labels, double value);
    FamilyOf& add(Labels labels, prometheus::ClientMetric::Histogram histogram);
    prometheus::MetricFamily take() { return std::move(family_); }

private:
    prometheus::MetricFamily family_;
};

Labels of_plugin(Dialect dialect);

/// Families of one value without labels.
void add_counter(Families& families, const char* name, const char* help, double value);
void add_gauge(Families& families, const char* name, const char* help, double value);

void add_volumes(Families& families, const Gauges& gauges);
void add_calls(Families& families, const WorkerCounts& totals);

}  // namespace uidnfs::plugins
