// SPDX-License-Identifier: Apache-2.0
// Random operations and faults, by one and by two clients, compared step by step with a reference
// tree. A failure names its seed and the fewest steps that still show it. UIDNFS_TEST_SEED runs one
// seed again, UIDNFS_TEST_SECONDS goes on for longer.
#include "fs/model_run.hpp"

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

void explain(const ModelPlan& plan, const ModelFailure& failure) {
    const auto least = shrink(plan);
    const auto again = run_plan(least);
    std::string text = fmt::format(
        "seed {}, {} clients, step {}: {}\nthe fewest steps that fail:\n",
        plan.seed,
        plan.clients,
        failure.step,
        failure.what
    );
    for (const auto& step : least.steps) text += "  " + describe(step) + "\n";
    if (again) text += "  -> " + again->what;
    ADD_FAILURE() << text;
}

void run_seeds(std::size_t clients) {
    const auto seconds = number_from("UIDNFS_TEST_SECONDS", 1);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    const auto given = number_from("UIDNFS_TEST_SEED", 0);
    std::random_device device;
    std::size_t runs = 0;
    do {
        const auto plan = make_plan(given ? given : device(), clients, kSteps);
        if (const auto failure = run_plan(plan)) return explain(plan, *failure);
        ++runs;
    } while (!given && std::chrono::steady_clock::now() < end);
    ::testing::Test::RecordProperty("runs", static_cast<int>(runs));
}

TEST(RandomOperations, one_client) { run_seeds(1); }

TEST(RandomOperations, two_clients) { run_seeds(2); }

}  // namespace
}  // namespace uidnfs::test
