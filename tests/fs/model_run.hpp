// SPDX-License-Identifier: Apache-2.0
// ModelRun: a list of steps carried out on mounts of a server in memory, each compared with a
// reference tree. A step is a kind and four numbers that mean the same whatever went before, so
// that a list from which steps were taken away is a list as well: that is what makes shrinking
// possible.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::test {

struct ModelStep {
    enum class Kind : std::uint8_t {
        make_file,
        make_alone,
        make_directory,
        make_symlink,
        make_link,
        remove,
        rename,
        truncate,
        chmod,
        stat,
        list,
        read,
        rewrite,
        open,
        open_append,
        close,
        write_open,
        read_open,
        cut_open,
        sync_open,
        stat_open,
        crash_server,
        kill_worker,
        trouble,
        wait,
    };
    static constexpr int kKinds = 25;
    Kind kind = Kind::stat;
    std::uint8_t client = 0;
    std::array<std::uint32_t, 4> n{};
};

struct ModelPlan {
    std::uint64_t seed = 0;  ///< decides what kind of server and which options; the steps as well
    std::size_t clients = 1;
    std::vector<ModelStep> steps;
};

ModelPlan make_plan(std::uint64_t seed, std::size_t clients, std::size_t steps);
std::string describe(const ModelStep& step);

struct ModelFailure {
    std::size_t step;  ///< index; steps.size(): the comparison at the end
    std::string what;
};
/// Nothing when mounts and reference agree all the time.
std::optional<ModelFailure> run_plan(const ModelPlan& plan);

/// The fewest steps that still fail, as far as taking steps away goes. REQUIRES: run_plan(plan)
/// fails.
ModelPlan shrink(ModelPlan plan);

}  // namespace uidnfs::test
