// SPDX-License-Identifier: Apache-2.0
// Problem: one thing that is wrong with the configuration, with all that is needed to correct it.
// Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace uidnfs::plugins {

struct Problem {
    std::string file;        ///< or "environment"
    std::uint32_t line = 0;  ///< counted from 1; 0: of no line
    std::string key;         ///< "policy.rule[1].uids"; empty: of no key
    std::string found;       ///< never a secret
    std::string allowed;     ///< "why not; what to do", or what it may be
};

/// "uidnfsd.toml:12: mounts.root: found "volumes"; an absolute path is needed"; one line.
std::string to_text(const Problem& problem);

/// By file and line; what has no line comes last.
void sort(std::vector<Problem>& problems);

}  // namespace uidnfs::plugins
