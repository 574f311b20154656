// SPDX-License-Identifier: Apache-2.0
// TogetherRun: several threads of one client at the same time, each with steps of its own, on a few
// files that they share. It holds the locks that the kernel holds (a directory while its names
// change, a file while it is written), so that whatever was answered must be what was there at some
// moment between question and answer. Between two rounds nothing is under way and everything is
// compared.
#pragma once

#include "fs/model_world.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::test {

struct TogetherStep {
    enum class Kind : std::uint8_t {
        round,  ///< all threads have come here; n[1] decides whether the worker is killed
        create,
        open,
        close,
        flush,
        read,
        write,
        write_direct,
        append,
        cut,
        sync,
        stat_open,
        stat,
        chmod,
        truncate,
        remove,
        rename,
        link,
        list,
        forget,
        wait,
        crash_server,
        trouble,
        kill,  ///< of the worker, with whatever it has under way
    };
    static constexpr int kKinds = 24;
    Kind kind = Kind::round;
    std::uint8_t thread = 0;
    ModelNumbers n{};
};

struct TogetherPlan {
    std::uint64_t seed = 0;  ///< decides what kind of server and which options; the steps as well
    std::size_t threads = 1;
    std::vector<TogetherStep> steps;
};

/// Whether workers die while they have something under way, or between two rounds only.
enum class Deaths : std::uint8_t { between_rounds, at_any_time };
TogetherPlan make_together_plan(
    std::uint64_t seed, std::size_t threads, std::size_t steps, Deaths deaths
);
std::string describe(const TogetherStep& step);

struct TogetherFailure {
    std::size_t step;  ///< index of the end of its round; steps.size(): at the end
    std::string what;
};
/// Nothing when all answers were right.
std::optional<TogetherFailure> run_together(const TogetherPlan& plan);

TogetherPlan shrink(TogetherPlan plan);

}  // namespace uidnfs::test
