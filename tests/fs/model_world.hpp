// SPDX-License-Identifier: Apache-2.0
// What random runs have in common: which server, which options, which fault, decided by numbers;
// and how a failing plan is made smaller.
#pragma once

#include "fs/options.hpp"
#include "support/memory_server.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace uidnfs::test {

using ModelNumbers = std::array<std::uint32_t, 4>;

Behaviour random_behaviour(std::uint64_t seed);
void choose_options(fs::Options& with, std::uint64_t seed);
/// One that a hard mount hides from its applications.
Fault random_fault(MemoryServer& server, const ModelNumbers& n);
/// Below 400 bytes, or below 30,000 now and then.
std::string random_bytes(const ModelNumbers& n);

/// The fewest steps that still fail, as far as taking steps away goes. REQUIRES: run_plan(plan)
/// fails; what it returns then has the index `step`.
template <class Plan, class RunPlan>
Plan shrink_with(Plan plan, const RunPlan& run_plan) {
    // What comes after the failure has no part in it.
    if (const auto failure = run_plan(plan); failure && failure->step < plan.steps.size()) {
        plan.steps.resize(failure->step + 1);
    }
    for (auto piece = std::max<std::size_t>(plan.steps.size() / 2, 1);; piece /= 2) {
        for (std::size_t at = 0; at < plan.steps.size();) {
            auto smaller = plan;
            const auto first = smaller.steps.begin() + static_cast<std::ptrdiff_t>(at);
            const auto count = std::min(piece, plan.steps.size() - at);
            smaller.steps.erase(first, first + static_cast<std::ptrdiff_t>(count));
            if (run_plan(smaller)) {
                plan = std::move(smaller);
            } else {
                at += piece;
            }
        }
        if (piece <= 1) return plan;
    }
}

}  // namespace uidnfs::test
