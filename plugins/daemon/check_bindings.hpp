// SPDX-License-Identifier: Apache-2.0
// `uidnfsd check-bindings`: what this configuration would say to volumes that exist elsewhere,
// before anything is switched over. It asks no server and no directory. Pure, but for
// run_check_bindings().
#pragma once

#include "plugins/daemon/bindings_file.hpp"
#include "plugins/settings/settings.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace uidnfs::plugins {

struct BindingReport {
    enum class Verdict : std::uint8_t {
        fine,
        warning,  ///< it mounts, and something is not as it was or not as it will be
        refused,
    };
    std::string name;
    std::string source;    ///< as it is understood; empty: there is none
    std::string identity;  ///< "1001:1001"; "user alice"; empty: there is none
    Verdict verdict = Verdict::fine;
    std::vector<std::string> reasons;  ///< of a warning or a refusal; a rule where it is fine
};

BindingReport check_binding(const Binding& binding, const Settings& settings);

/// One line for each reason, and one for all.
std::string human_bindings(const std::vector<BindingReport>& reports, std::size_t others);
/// One JSON object and a line feed.
std::string json_bindings(const std::vector<BindingReport>& reports, std::size_t others);

}  // namespace uidnfs::plugins
