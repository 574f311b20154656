// SPDX-License-Identifier: Apache-2.0
// Random operations and faults, by one and by two clients, compared step by step with a reference
// tree, and by several threads of one client, whose workers may die at any time. A failure names
// its seed and the fewest steps that still show it. UIDNFS_TEST_SEED runs one seed again,
// UIDNFS_TEST_SECONDS goes on for longer.
#include "fs/model_run.hpp"
#include "fs/together_run.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <random>

namespace uidnfs::test {
namespace {

constexpr std::size_t kSteps = 150;

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
    const auto* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

template <class Plan, class Failure, class RunPlan>
void explain(const Plan& plan, const Failure& failure, const RunPlan& run) {
    const auto least = shrink(plan);
    const auto again = run(least);
    std::string text = fmt::format(
        "seed {}, step {}: {}\nthe fewest steps that fail:\n", plan.seed, failure.step, failure.what
    );
    for (const auto& step : least.steps) text += "  " + describe(step) + "\n";
    if (again) text += "  -> " + again->what;
    ADD_FAILURE() << text;
}

template <class MakePlan, class RunPlan>
void run_seeds(const MakePlan& make, const RunPlan& run) {
    const auto seconds = number_from("UIDNFS_TEST_SECONDS", 1);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    const auto given = number_from("UIDNFS_TEST_SEED", 0);
    std::random_device device;
    std::size_t runs = 0;
    do {
        const auto plan = make(given ? given : device());
        if (const auto failure = run(plan)) return explain(plan, *failure, run);
        ++runs;
    } while (!given && std::chrono::steady_clock::now() < end);
    ::testing::Test::RecordProperty("runs", static_cast<int>(runs));
}

void run_model(std::size_t clients) {
    run_seeds([&](std::uint64_t seed) { return make_plan(seed, clients, kSteps); }, run_plan);
}

TEST(RandomOperations, one_client) { run_model(1); }

TEST(RandomOperations, two_clients) { run_model(2); }

void run_threads(Deaths deaths) {
    run_seeds(
        [&](std::uint64_t seed) { return make_together_plan(seed, 4, kSteps, deaths); },
        run_together
    );
}

TEST(RandomOperations, threads_of_one_client) { run_threads(Deaths::between_rounds); }

TEST(RandomOperations, threads_of_one_client_whose_workers_die) {
    run_threads(Deaths::at_any_time);
}

}  // namespace
}  // namespace uidnfs::test
